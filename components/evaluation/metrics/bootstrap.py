"""The paired Poisson bootstrap: standard errors of a metric, or of the difference of two models.

A replicate of the data has each unit Poisson(1) times instead of once (Hanley and MacGibbon, 2006; Chamandy et al.,
2012, "Estimating Uncertainty for Massive Data Streams"). A unit is a set of correlated rows, such as all rows of a
user: the rows of a unit are drawn together, as the rows of another day would occur (Field and Welsh, 2007,
"Bootstrapping clustered data"). A unit's weight depends only on the unit and the replicate's number, so it is the same
for both models, on every machine, and for every bundling of the data.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from components.splitmix import GOLDEN_GAMMA, finalized

Array = np.ndarray[Any, np.dtype[Any]]

#: With 200 replicates, a standard error varies by 1 / √(2 · 200) = 5 % with the draw of the replicates.
NUM_REPLICATES = 200

#: The number of bits of hashes: a double represents them exactly.
HASH_BITS = 53

#: P(Poisson(1) ≤ n) for n = 0, 1, … up to 1 in double precision.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(19)])


def key_hash(key: bytes) -> int:
    """Returns the 64-bit hash of a key, such as a user's id."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def unit_hash(key: bytes) -> int:
    """Returns the hash, of `HASH_BITS` bits, of a bootstrap unit's key: the first bits of `key_hash`."""
    return key_hash(key) >> (64 - HASH_BITS)


def replicate_weights(hashes: Array, replicates: range) -> Array:
    """Returns how often each unit occurs in each of the given replicates.

    Args:
      hashes: The units' hashes, integers below 2^53 of any dtype, shape `[num_units]`.
      replicates: The replicates' numbers; 0 is the data itself, which has each unit once.

    Returns:
      float64 `[num_units, len(replicates)]`: 1 in the column of replicate 0, and Poisson(1) in the others.
    """
    streams = finalized(np.array(replicates, dtype=np.uint64) * GOLDEN_GAMMA)
    uniform = (finalized(hashes.astype(np.uint64)[:, None] ^ streams) >> np.uint64(11)) * 2.0**-53
    weights = np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float64)
    weights[:, [number == 0 for number in replicates]] = 1
    return weights


def standard_errors(replicates: Array) -> Array:
    """Returns the standard deviation of a metric's values over the replicates.

    Args:
      replicates: The values, shape `[1 + num_replicates, ...]`: of the data, then of each replicate. An undefined
        metric, such as AUC without a positive, is NaN.

    Returns:
      Shape `[...]`; NaN if the metric is undefined for the data or for more than half of the replicates.
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
