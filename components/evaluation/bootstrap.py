"""The paired Poisson bootstrap: how far a metric, or the difference of two models, may be chance.

A replicate of the data has each unit Poisson(1) times instead of once (Hanley and MacGibbon, 2006; Chamandy et al.,
2012, "Estimating Uncertainty for Massive Data Streams"). A unit is a set of rows that are alike, such as all rows of a
user: rows of one unit are drawn together, as rows of another day would come (Field and Welsh, 2007, "Bootstrapping
clustered data"). How often depends on the unit and the replicate's number alone, so that it is the same for both
models, on every machine, and however the data is bundled.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: A standard error varies by 1 / √(2 · 200) = 5 % with the draw of the replicates.
NUM_REPLICATES = 200

#: Hashes have so many bits: a double holds them exactly.
HASH_BITS = 53

#: P(Poisson(1) ≤ n) for n = 0, 1, … up to 1 in double precision.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(19)])


def unit_hash(key: bytes) -> int:
    """The number, of `HASH_BITS` bits, that stands for a unit of the bootstrap, such as a user's id."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> (64 - HASH_BITS)


def _mixed(values: Array) -> Array:
    """SplitMix64's finalizer (Steele et al., 2014): uint64 to uint64, each bit of which depends on all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed


def replicate_weights(hashes: Array, replicates: range) -> Array:
    """How often each unit is in each of some replicates.

    Args:
      hashes: Of the units, whole numbers below 2^53 of any dtype, shape `[num_units]`.
      replicates: Their numbers; 0 is the data itself, which has each unit once.

    Returns:
      float64 `[num_units, len(replicates)]`: 1 in the column of replicate 0, and Poisson(1) in the others.
    """
    streams = _mixed(np.array(replicates, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    uniform = (_mixed(hashes.astype(np.uint64)[:, None] ^ streams) >> np.uint64(11)) * 2.0**-53
    weights = np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float64)
    weights[:, [number == 0 for number in replicates]] = 1
    return weights


def standard_errors(replicates: Array) -> Array:
    """The standard deviation of a metric's values over the replicates.

    Args:
      replicates: The values, shape `[1 + num_replicates, ...]`: of the data, then of each replicate. Where the metric
        is not defined, such as AUC without a positive, the value is not a number.

    Returns:
      Shape `[...]`; not a number if the data or more than half of the replicates do not have the metric.
    """
    drawn = replicates[1:]
    is_defined = np.isfinite(drawn)
    number = is_defined.sum(axis=0)
    enough = (number >= max(2, len(drawn) / 2)) & np.isfinite(replicates[0])
    values = np.where(is_defined, drawn, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.where(is_defined, values - values.sum(axis=0) / number, 0.0)
        variances = (deviations**2).sum(axis=0) / (number - 1)
    errors: Array = np.sqrt(np.where(enough, variances, np.nan))
    return errors
