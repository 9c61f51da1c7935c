"""Tells of a full disk, in whose words ever: Python's, TensorFlow's, SQLite's, or Beam's, which quote one of these."""

from __future__ import annotations

import errno
import os
import shutil

from pipeline.workspace import Workspace

_SIGNS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
_MB = 2**20


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one on the way to it, is that a disk has no room left."""
    on_the_way: BaseException | None = error
    while on_the_way is not None:
        if any(sign in str(on_the_way) for sign in _SIGNS):
            return True
        on_the_way = on_the_way.__cause__ or on_the_way.__context__
    return False


def disk_full(workspace: Workspace) -> str:
    """What to tell of a workspace whose disk is full; where it lies on several, of the fullest one."""
    folders = [workspace.root, *sorted(path for path in workspace.root.iterdir() if path.is_dir())]
    usage = {folder: shutil.disk_usage(folder) for folder in folders}
    fullest = min(folders, key=lambda folder: usage[folder].free)
    free, total = usage[fullest].free / _MB, usage[fullest].total / _MB
    return (
        f"no space left on the disk of {fullest}: {free:,.1f} of its {total:,.1f} MB are free now; "
        "make room, and the same command goes on from there"
    )
