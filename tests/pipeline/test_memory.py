"""Test of the memory that is returned to the operating system."""

from __future__ import annotations

import numpy as np
import psutil

from pipeline.runner.launch import release_free_memory


def test_freed_memory_is_returned() -> None:
    """200 MB in arrays of 64 kB, all but every hundredth of which are freed: the C library keeps such holes."""
    release_free_memory()
    process = psutil.Process()
    before = process.memory_info().rss
    arrays = [np.ones(65_536, np.uint8) for _ in range(3_200)]
    assert process.memory_info().rss > before + 150e6
    kept = arrays[::100]
    del arrays
    release_free_memory()
    assert process.memory_info().rss < before + 50e6
    assert len(kept) == 32
