"""What the served orders are worth beside those of the first version: means per request, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.simulator.sampling import Floats, Ints

#: The standard normal quantile of a 95 % interval.
_QUANTILE = 1.959964


@dataclass(frozen=True)
class Figures:
    """Expected installs per request, by the true probabilities.

    Attributes:
      served: The mean of the orders shown.
      first: The mean of the first version's orders, of the same requests.
      low, high: The 95 % interval of the difference.
    """

    served: float
    first: float
    low: float
    high: float


def figures(served: Sequence[Floats], first: Sequence[Floats], users: Sequence[Ints]) -> Figures:
    """Compares orders of the same requests.

    Requests of one user are alike, so the interval is that of a mean of clusters: with d the difference of a request
    and n the number of requests, its half width is 1.96 * sqrt(sum over users of (sum of d - mean)²) / n. With the
    differences 1 and 3 of one user and -1 of another, the mean is 1, the users' sums are 2 and -2, and the half width
    is 1.96 * sqrt(8) / 3 = 1.85.

    Args:
      served: For each store, float64 [requests], the expected installs of the orders shown.
      first: The same, of the first version's orders.
      users: For each store, int64 [requests], each request's user; users of two stores are not the same.
    """
    differences = [one - other for one, other in zip(served, first, strict=True)]
    n = sum(map(len, differences))
    mean = sum(float(of_store.sum()) for of_store in differences) / n
    squares = 0.0
    for of_store, user in zip(differences, users, strict=True):
        _, which = np.unique(user, return_inverse=True)
        squares += float((np.bincount(which, of_store - mean) ** 2).sum())
    half = _QUANTILE * squares**0.5 / n
    means = [sum(float(of_store.sum()) for of_store in values) / n for values in (served, first)]
    return Figures(means[0], means[1], mean - half, mean + half)
