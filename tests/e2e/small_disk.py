"""A small disk for tests to fill."""

from __future__ import annotations

import contextlib
import gc
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DISK_MB = 64

#: Enough space for ML Metadata and the log when a node starts, but not for the node's output.
LEFT_BYTES = 256 * 1024


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """Mounts a separate disk, in memory, on a folder that is created if needed; mounting requires root."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(
            f"NOT TESTED: no disk can be mounted here ({done.stderr.strip()}); "
            "`unshare -rm .venv/bin/python -m pytest tests/e2e/test_disk_full.py tests/e2e/test_runbook.py` may do"
        )
    try:
        yield place
    finally:
        gc.collect()  # a failed command in this process may have left its database open
        subprocess.run(["umount", str(place)], check=True)


def fill(file: Path, left: int) -> None:
    """Fills a disk up to a number of free bytes."""
    with file.open("wb", buffering=0) as filler:
        for size in (2**20, 2**12):
            while shutil.disk_usage(file.parent).free >= left + size:
                filler.write(b"\0" * size)
