"""Returns memory that this process no longer uses to the operating system."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def release_free_memory() -> None:
    """Returns what was freed, and what the allocators of Arrow and of the C library keep for later.

    Otherwise a process keeps most of what it has used at most. All nodes of `wdr run` run in one process, and
    `infra_validation` starts others beside it. A C library other than glibc has no function for it.
    """
    pa.default_memory_pool().release_unused()
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
