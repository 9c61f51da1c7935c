"""Returns memory that this process no longer uses to the operating system."""

from __future__ import annotations

import psutil
import pyarrow as pa


def release_free_memory() -> None:
    """Returns what was freed, and what the allocators of Arrow and of the C library keep for later.

    Otherwise it stays with the process: all nodes of `wdr run` run in one, and `infra_validation` starts others beside
    it.
    """
    pa.default_memory_pool().release_unused()
    psutil.heap_trim()
