"""A small disk, to be filled."""

from __future__ import annotations

import contextlib
import gc
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DISK_MB = 64

#: Enough for ML Metadata and the log when a node starts, and too little for what the node writes.
LEFT_BYTES = 256 * 1024


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """A disk of its own, in memory, in a folder that is made if need be; to mount it takes root."""
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
    """Takes a disk's room but for so many bytes."""
    with file.open("wb", buffering=0) as filler:
        for size in (2**20, 2**12):
            while shutil.disk_usage(file.parent).free >= left + size:
                filler.write(b"\0" * size)
