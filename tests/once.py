"""What the workers of a test run share: made by the first that needs it, in a folder that all of them read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Fills a folder once per test run; the other workers of pytest-xdist wait for it and get the same folder.

    Args:
      factory: The factory of temporary folders, whose base folder is next to those of the other workers.
      name: The folder's name, one for each thing that is shared.
      make: Fills the folder, which is created before. If it raises, the next worker that needs the folder tries again.

    Returns:
      The folder; tests must not change it.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / "shared" / name, base / "shared" / f"{name}.done"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
