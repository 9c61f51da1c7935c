"""The paired Poisson bootstrap: how far a difference of two models may be the chance of which requests were seen.

A replicate of the data has each request Poisson(1) times instead of once (Hanley and MacGibbon, 2006; Chamandy et al.,
2012, "Estimating Uncertainty for Massive Data Streams"). How often depends on the request and the replicate's number
alone, so that it is the same for both models, on every machine, and however the data is bundled.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: The interval's width varies by 1 / √(2 · 200) = 5 % with the draw of the replicates.
NUM_REPLICATES = 200

#: Hashes have so many bits: a double holds them exactly.
HASH_BITS = 53

#: Half the width of a 95 % interval, in standard deviations.
_Z = 1.959964

#: P(Poisson(1) ≤ n) for n = 0, 1, … up to 1 in double precision.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(19)])


def unit_hash(key: bytes) -> int:
    """The number, of `HASH_BITS` bits, that stands for a unit of the bootstrap, such as a request's id."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> (64 - HASH_BITS)


def _mixed(values: Array) -> Array:
    """SplitMix64's finalizer (Steele et al., 2014): uint64 to uint64, each bit of which depends on all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed


def replicate_weights(hashes: Array, num_replicates: int = NUM_REPLICATES) -> Array:
    """How often each unit is in each replicate.

    Args:
      hashes: Of the units, whole numbers below 2^53 of any dtype, shape `[num_units]`.
      num_replicates: How many replicates there are.

    Returns:
      float64 `[num_units, 1 + num_replicates]`: the first column is 1, the data itself; the others are Poisson(1).
    """
    streams = _mixed(np.arange(1, num_replicates + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    uniform = (_mixed(hashes.astype(np.uint64)[:, None] ^ streams) >> np.uint64(11)) * 2.0**-53
    weights = np.ones((len(hashes), 1 + num_replicates))
    weights[:, 1:] = np.searchsorted(_CUMULATIVE, uniform, side="right")
    return weights


def change_interval(replicates: Array) -> tuple[float, float]:
    """The two-sided 95 % interval of candidate - baseline: it ± 1.96 of the replicates' standard deviations.

    Args:
      replicates: A metric's values, shape `[1 + num_replicates, 2]`: of the data and of each replicate, for candidate
        and baseline. Where the metric is not defined it is not a number.

    Returns:
      The low and the high end; not numbers if the data or more than half of the replicates do not have the metric.
    """
    changes = replicates[:, 0] - replicates[:, 1]
    drawn = changes[1:][np.isfinite(changes[1:])]
    if len(drawn) < max(2, len(changes[1:]) / 2):
        return math.nan, math.nan
    half = _Z * float(drawn.std(ddof=1))
    return float(changes[0]) - half, float(changes[0]) + half
