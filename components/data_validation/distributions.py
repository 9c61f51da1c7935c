"""A feature's distribution in one span, small enough to keep for years, and the distance between two of them."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

#: How many of a categorical feature's values are kept by name; the others are counted by a hash of their text.
NUM_TOP_VALUES = 50
NUM_HASH_BUCKETS = 256

#: A numeric feature is kept as its quantiles 0, 1/200, …, 1. A value that many rows share takes many of them.
NUM_QUANTILES = 201

#: The largest of the divergences at all thresholds is expected to be so many times that at one of them, by chance.
_LARGEST_BY_CHANCE = 6.0

_MISSING = "<missing>"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Distribution:
    """The distribution of one feature over a span's examples.

    Attributes:
      num_values: The values counted: one an example, or as many as a list has; a missing value counts as one.
      num_draws: How many of them are independent of each other: a request's examples share their context.
      num_missing: Examples without a value.
      num_distinct: Different values, a missing one not counted.
      top: By value, how often it occurs, for the most frequent ones; empty for a numeric feature.
      rest: The values that are not in `top`, by a hash of their text; empty for a numeric feature.
      quantiles: Of a numeric feature's values, evenly spaced from the lowest to the highest; else empty.
    """

    num_values: int
    num_draws: int
    num_missing: int
    num_distinct: int
    top: dict[str, int]
    rest: tuple[int, ...]
    quantiles: tuple[float, ...]

    @property
    def is_numeric(self) -> bool:
        return bool(self.quantiles)

    @property
    def is_constant(self) -> bool:
        """Whether there is one value at most, as of a weekday in a span of a day."""
        return self.num_distinct <= 1

    @property
    def is_almost_unique(self) -> bool:
        """Whether a value is rarely seen twice, as of an id."""
        return not self.is_numeric and self.num_distinct > 0.2 * self.num_values


def of_tokens(counts: Mapping[str, int], num_missing: int, num_draws: int) -> Distribution:
    """The distribution of a categorical feature.

    Args:
      counts: By value, how often it occurs.
      num_missing: Examples without a value.
      num_draws: See `Distribution`.
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = [0] * NUM_HASH_BUCKETS
    for value, number in ordered[NUM_TOP_VALUES:]:
        rest[_bucket(value)] += number
    return Distribution(
        num_values=sum(counts.values()) + num_missing,
        num_draws=num_draws,
        num_missing=num_missing,
        num_distinct=len(counts),
        top=dict(ordered[:NUM_TOP_VALUES]),
        rest=tuple(rest),
        quantiles=(),
    )


def of_numbers(values: npt.NDArray[np.floating], num_draws: int) -> Distribution:
    """The distribution of a numeric feature.

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
    """The Jensen-Shannon divergence, to the base 2, of two distributions of one feature.

    0 for equal ones, 1 for those that have no value in common. A missing value is a value of its own. Of a numeric
    feature it is the largest over all thresholds x of that of the shares below and above x, so that a small shift of
    values that many rows share, such as the age in days of a popular app, is a small change.
    """
    if one.is_numeric and other.is_numeric:
        return float(_binary_divergences(*_shares_above(one, other)).max())
    return _divergence(*_token_shares(one, other))


def divergence_by_chance(one: Distribution, other: Distribution) -> float:
    """The divergence that two samples of one distribution are expected to have.

    Of k values, in samples of n and m independent draws, it is (k - 1) / (8 ln 2) · (1/n + 1/m), as that of a χ²
    statistic: 10 countries in two spans of 500 requests have 9 / 5.545 · 2 / 500 = 0.0065. A value that neither sample
    is likely to have does not count.
    """
    n, m = max(one.num_draws, 1), max(other.num_draws, 1)
    of_two_values = (1 / n + 1 / m) / (8 * math.log(2))
    if one.is_numeric and other.is_numeric:
        return _LARGEST_BY_CHANCE * of_two_values
    p, q = _token_shares(one, other)
    seen = -np.expm1(-(p + q) / 2 * (n + m))
    return float(max(seen.sum() - 1, 0)) * of_two_values


def largest_change(one: Distribution, other: Distribution) -> tuple[str, float, float]:
    """The value whose share differs most, and its share in either; of a numeric feature the median in place of both."""
    if one.is_numeric and other.is_numeric:
        middle = NUM_QUANTILES // 2
        return "median", one.quantiles[middle], other.quantiles[middle]
    shares = [
        {**{v: c / d.num_values for v, c in d.top.items()}, _MISSING: d.num_missing / max(d.num_values, 1)}
        for d in (one, other)
    ]
    values = sorted({*shares[0], *shares[1]})
    value = max(values, key=lambda v: abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)))
    return value, shares[0].get(value, 0.0), shares[1].get(value, 0.0)


def _token_shares(one: Distribution, other: Distribution) -> tuple[Floats, Floats]:
    """The shares of the same values in two distributions, float64 [k] each; each sums to 1, or to 0 without a row.

    A value that only one of the two has by name is counted by its hash in both. Where only one of them is numeric, as
    the other one has no value at all, all numbers are one value.
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
        counts = np.array([*(distribution.top[v] for v in named), *rest, distribution.num_missing], dtype=np.float64)
        found.append(counts / max(counts.sum(), 1))
    return found[0], found[1]


def _shares_above(one: Distribution, other: Distribution) -> tuple[Floats, Floats]:
    """The share of values above each threshold, and that of the missing ones, float64 [thresholds + 1] each."""
    thresholds = np.unique([*one.quantiles, *other.quantiles])
    found = []
    for distribution in (one, other):
        below = np.searchsorted(np.asarray(distribution.quantiles), thresholds, "right") / NUM_QUANTILES
        missing = distribution.num_missing / distribution.num_values
        found.append(np.append((1 - below) * (1 - missing), missing))
    return found[0], found[1]


def _binary_divergences(p: Floats, q: Floats) -> Floats:
    """The divergences of the pairs (p, 1 - p) and (q, 1 - q)."""
    return _divergence_terms(p, q) + _divergence_terms(1 - p, 1 - q)


def _divergence(p: Floats, q: Floats) -> float:
    return float(_divergence_terms(p, q).sum())


def _divergence_terms(p: Floats, q: Floats) -> Floats:
    """Σ over both of p log2(p / middle) / 2, value by value."""
    middle = (p + q) / 2
    terms = np.zeros_like(middle)
    for side in (p, q):
        occurs = side > 0
        terms[occurs] += side[occurs] * np.log2(side[occurs] / middle[occurs]) / 2
    return terms


def _bucket(value: str) -> int:
    return hashlib.blake2b(value.encode(), digest_size=1).digest()[0]


def count_tokens(codes: npt.NDArray[np.integer], values: Sequence[str]) -> Counter[str]:
    """How often each value occurs: `codes`, int [n], are places in `values`; a negative one is a missing value."""
    numbers = np.bincount(codes[codes >= 0], minlength=len(values))
    return Counter({value: int(number) for value, number in zip(values, numbers, strict=True) if number})
