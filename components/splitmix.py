"""SplitMix64: a bijection of 64-bit integers to pseudo-random ones (Steele et al., 2014)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.uint64]

#: The distance of two states of the generator: 2^64 divided by the golden ratio.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def finalized(numbers: Integers) -> Integers:
    """Returns SplitMix64's finalizer of integers; each bit depends on all bits of the input."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def mixed(numbers: Integers) -> Integers:
    """Returns the generator's output from each of the given states."""
    return finalized(numbers + GOLDEN_GAMMA)
