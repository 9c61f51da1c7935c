"""Divides rows into parts of about equal numbers: by ranges of a model's scores, or by ranges of a hash."""

from __future__ import annotations

import numpy as np

from components.evaluation.metrics.bootstrap import HASH_BITS, Array

#: The scores of a bucket agree in so many first bits: the sign, the exponent, and 11 bits of the mantissa.
_SCORE_BITS = 20

#: Ranges of hashes are cut by so many first bits of a hash.
_RANGE_BITS = 32


def score_buckets(scores: Array) -> Array:
    """Returns the buckets of scores, float32 `[num_rows]`: int64 `[num_rows]`; they ascend, NaN is last."""
    bits = (scores + np.float32(0)).view(np.uint32)  # the negative 0 equals the positive one
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    ascending[np.isnan(scores)] = np.iinfo(np.uint32).max
    return (ascending >> (32 - _SCORE_BITS)).astype(np.int64)


def histogram(scores: Array) -> Array:
    """Returns the numbers of scores in each bucket, int64 `[num_buckets]`; those of parts add up."""
    return np.bincount(score_buckets(scores), minlength=1 << _SCORE_BITS)


def score_cuts(buckets: Array, num_ranges: int) -> Array:
    """Returns the first buckets of all ranges of scores but the first one, int64 `[num_ranges - 1]` or fewer.

    Equal scores are in one range, so that a range may have more than its share of the rows.

    Args:
      buckets: The numbers of scores in each bucket, at least one.
      num_ranges: The number of ranges that are wanted.
    """
    used = np.flatnonzero(buckets)
    before = np.cumsum(buckets[used]) - buckets[used]
    number = before * num_ranges // buckets.sum()
    cuts: Array = used[1:][number[1:] > number[:-1]]
    return cuts


def score_ranges(scores: Array, cuts: Array) -> Array:
    """Returns the number of each row's range of scores, int64 `[num_rows]`."""
    return np.searchsorted(cuts, score_buckets(scores), side="right")


def unit_ranges(units: Array, num_ranges: int) -> Array:
    """Returns the number of each row's range of units' hashes, int64 `[num_rows]`."""
    return _hash_ranges(units >> np.uint64(HASH_BITS - _RANGE_BITS), num_ranges)


def group_ranges(groups: Array, num_ranges: int) -> Array:
    """Returns the number of each row's range of groups' hashes, int64 `[num_rows]`."""
    return _hash_ranges(groups >> np.uint64(64 - _RANGE_BITS), num_ranges)


def _hash_ranges(first_bits: Array, num_ranges: int) -> Array:
    return (first_bits * np.uint64(num_ranges) >> np.uint64(_RANGE_BITS)).astype(np.int64)
