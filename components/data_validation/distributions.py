"""A feature's distribution in one span, small enough to store for years, and the distance between two of them."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from components.ingestion.sketches import key_hashes

#: The number of a categorical feature's values that are kept by name; the others are counted by their hash.
NUM_TOP_VALUES = 50
NUM_HASH_BUCKETS = 256

#: Of a feature with at least so many values, so many are sampled, by which the new values of another span are known.
_MANY_VALUES, _NUM_SAMPLED = 1000, 200

#: A numeric feature is kept as its quantiles 0, 1/200, …, 1. A value that many rows share takes many quantiles.
NUM_QUANTILES = 201

#: By chance, the largest of the divergences at all thresholds is expected to be this many times that at one threshold.
_LARGEST_BY_CHANCE = 6.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Distribution:
    """The distribution of one feature over a span's examples.

    Attributes:
      num_values: The number of values: one per example, or as many as a list has; a missing value counts as one.
        So it is the number of examples unless the feature is a list.
      num_draws: The number of independent draws of them: the examples of a request share their context.
      num_missing: The number of examples with a missing value.
      num_distinct: The number of distinct values, not counting a missing value.
      top: The counts of the most frequent values, by value; empty for a numeric feature.
      rest: The counts of the values that are not in `top`, by hash bucket; empty for a numeric feature.
      quantiles: A numeric feature's quantiles, evenly spaced from the lowest to the highest value; else empty.
      sample: The counts of the values with the smallest hashes, by hash: the same values in every span. Empty for a
        numeric feature, for one with fewer than 1,000 values, and in the record of an earlier release.
    """

    num_values: int
    num_draws: int
    num_missing: int
    num_distinct: int
    top: dict[str, int]
    rest: tuple[int, ...]
    quantiles: tuple[float, ...]
    sample: dict[int, int] = Field(default_factory=dict)

    @property
    def is_numeric(self) -> bool:
        return bool(self.quantiles)

    @property
    def is_constant(self) -> bool:
        """Whether there is at most one value, as of the weekday in a span of one day."""
        return self.num_distinct <= 1

    @property
    def is_almost_unique(self) -> bool:
        """Whether values rarely occur twice, as those of an id."""
        return not self.is_numeric and self.num_distinct > 0.2 * (self.num_values - self.num_missing)


def measure_tokens(counts: Mapping[str, int], num_missing: int, num_draws: int) -> Distribution:
    """Returns the distribution of a categorical feature.

    Args:
      counts: The number of occurrences by value.
      num_missing: The number of examples with a missing value.
      num_draws: See `Distribution`.
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = [0] * NUM_HASH_BUCKETS
    for value, number in ordered[NUM_TOP_VALUES:]:
        rest[_bucket(value)] += number
    hashed = zip(key_hashes(counts).tolist(), counts.values(), strict=True) if len(counts) >= _MANY_VALUES else ()
    return Distribution(
        num_values=sum(counts.values()) + num_missing,
        num_draws=num_draws,
        num_missing=num_missing,
        num_distinct=len(counts),
        top=dict(ordered[:NUM_TOP_VALUES]),
        rest=tuple(rest),
        quantiles=(),
        sample=dict(heapq.nsmallest(_NUM_SAMPLED, hashed)),
    )


def measure_numbers(values: npt.NDArray[np.floating], num_draws: int) -> Distribution:
    """Returns the distribution of a numeric feature.

    Args:
      values: float [examples]; NaN is a missing value.
      num_draws: See `Distribution`.
    """
    present = values[~np.isnan(values)].astype(np.float64)
    levels = np.linspace(0, 1, NUM_QUANTILES)
    quantiles = np.quantile(present, levels, method="lower") if len(present) else np.zeros(0)
    return Distribution(
        num_values=len(values),
        num_draws=num_draws,
        num_missing=len(values) - len(present),
        num_distinct=len(np.unique(present)),
        top={},
        rest=(),
        quantiles=tuple(float(q) for q in quantiles),
    )


def divergence(one: Distribution, other: Distribution) -> float:
    """Returns the Jensen-Shannon divergence, with base-2 logarithms, of two distributions of one feature's values.

    It is 0 for equal distributions and 1 for distributions without a common value. That of a missing value, whose share
    has a rule of its own, is taken off: of the divergence of all values D, and of that of missing and other values d,
    the result is D - d, which weighs the values by the share that they are of all. For a numeric feature it is the
    largest divergence, over all thresholds x, of the shares below and above x: so a small shift of values that many
    rows share, such as the age in days of a popular app, is a small change.
    """
    if one.is_numeric and other.is_numeric:
        above, below = _shares_above(one, other)
        total = _divergence_terms(above[0] + below[0], above[1] + below[1])
        return float((_divergence_terms(*above) + _divergence_terms(*below) - total).max())
    p, q = _token_shares(one, other)
    return float(_divergence_terms(p, q).sum() - _divergence_terms(p.sum(keepdims=True), q.sum(keepdims=True))[0])


def divergence_by_chance(one: Distribution, other: Distribution) -> float:
    """Returns the expected divergence of two samples of one distribution.

    For k values in samples of n and m independent draws it is (k - 1) / (8 ln 2) · (1/n + 1/m), derived from the mean
    of a χ² statistic: 10 countries in two spans of 500 requests have 9 / 5.545 · 2 / 500 = 0.0065. A value counts only
    by the probability that one of the samples has it.
    """
    n, m = max(one.num_draws, 1), max(other.num_draws, 1)
    of_two_values = (1 / n + 1 / m) / (8 * math.log(2))
    if one.is_numeric and other.is_numeric:
        return _LARGEST_BY_CHANCE * of_two_values
    p, q = _token_shares(one, other)
    seen = -np.expm1(-(p + q) / 2 * (n + m))
    return float(max(seen.sum() - 1, 0)) * of_two_values


def new_share(one: Distribution, other: Distribution) -> float | None:
    """Estimates which share of the occurrences of values in `one` is of values that `other` does not have.

    Both samples are complete up to the smaller of their two largest hashes, so only values up to it are compared.

    Returns:
      From 0 to 1; None unless both have a sample.
    """
    if not one.sample or not other.sample:
        return None
    limit = min(max(one.sample), max(other.sample))
    counts = {key: number for key, number in one.sample.items() if key <= limit}
    return sum(number for key, number in counts.items() if key not in other.sample) / sum(counts.values())


def largest_change(one: Distribution, other: Distribution) -> tuple[str, float, float]:
    """Returns the value whose share differs most, with both shares; for a numeric feature "median" and both medians.

    The shares are of the values that are not missing.
    """
    if one.is_numeric and other.is_numeric:
        middle = NUM_QUANTILES // 2
        return "median", one.quantiles[middle], other.quantiles[middle]
    shares = [{v: c / max(d.num_values - d.num_missing, 1) for v, c in d.top.items()} for d in (one, other)]
    values = sorted({*shares[0], *shares[1]})
    value = max(values, key=lambda v: abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)))
    return value, shares[0].get(value, 0.0), shares[1].get(value, 0.0)


def _token_shares(one: Distribution, other: Distribution) -> tuple[Floats, Floats]:
    """Returns the shares of the same values in two distributions, float64 [k] each; with those missing they sum to 1.

    A value that only one of the two has by name is counted by its hash in both. If only one of them is numeric, because
    the other has no values, all numbers count as one value.
    """
    named = sorted(set(one.top) & set(other.top))
    found = []
    for distribution in (one, other):
        rest = list(distribution.rest) or [0] * NUM_HASH_BUCKETS
        for value, number in distribution.top.items():
            if value not in named:
                rest[_bucket(value)] += number
        if distribution.is_numeric:
            rest[0] += distribution.num_values - distribution.num_missing
        counts = np.array([*(distribution.top[v] for v in named), *rest], dtype=np.float64)
        found.append(counts / max(distribution.num_values, 1))
    return found[0], found[1]


def _shares_above(one: Distribution, other: Distribution) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Returns the shares of both distributions above each threshold, and not above it, float64 [thresholds] each."""
    thresholds = np.unique([*one.quantiles, *other.quantiles])
    above, below = [], []
    for distribution in (one, other):
        present = 1 - distribution.num_missing / distribution.num_values
        at_most = np.searchsorted(np.asarray(distribution.quantiles), thresholds, "right") / NUM_QUANTILES
        above.append((1 - at_most) * present)
        below.append(at_most * present)
    return (above[0], above[1]), (below[0], below[1])


def _divergence_terms(p: Floats, q: Floats) -> Floats:
    """Returns, for each value, the sum over both sides of p log2(p / middle) / 2."""
    middle = (p + q) / 2
    terms = np.zeros_like(middle)
    for side in (p, q):
        occurs = side > 0
        terms[occurs] += side[occurs] * np.log2(side[occurs] / middle[occurs]) / 2
    return terms


def _bucket(value: str) -> int:
    return hashlib.blake2b(value.encode(), digest_size=1).digest()[0]


def count_tokens(codes: npt.NDArray[np.integer], values: Sequence[str]) -> Counter[str]:
    """Counts the occurrences of each value: `codes`, int [n], are indices in `values`; a negative code is missing."""
    numbers = np.bincount(codes[codes >= 0], minlength=len(values))
    return Counter({value: int(number) for value, number in zip(values, numbers, strict=True) if number})
