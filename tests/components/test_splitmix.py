"""SplitMix64's finalizer and its output."""

from __future__ import annotations

import numpy as np

from components.splitmix import mixed


def test_different_numbers_are_mixed_to_different_numbers() -> None:
    # The first output of SplitMix64 seeded with 0.
    assert mixed(np.array([0], np.uint64)).tolist() == [0xE220A8397B1DCDAF]
    assert len(set(mixed(np.arange(10_000, dtype=np.uint64)).tolist())) == 10_000
