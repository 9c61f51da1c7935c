"""What the tests of pools let workers do. A worker imports this module, so it imports little itself."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil


def noted(folder: Path) -> Counter[int]:
    """Returns, by process, how many numbers it noted."""
    return Counter(int(path.suffix[1:]) for path in folder.iterdir() if path.name != "go")


def note_pool(number: int, folder: str) -> None:
    """Writes down the pool's process, the parent of the one that forked this worker."""
    _note(number, folder, _pool())


def note_pool_and_wait(number: int, folder: str) -> None:
    note_pool(number, folder)
    _wait_until(Path(folder, "go").exists)


def note_worker_and_wait(number: int, folder: str) -> None:
    """Writes down the worker's process."""
    _note(number, folder, os.getpid())
    _wait_until(Path(folder, "go").exists)


def wait_for_others(number: int, folder: str, count: int) -> None:
    """Notes a number; the first one, 0, is noted once all others of so many are."""
    others = [Path(folder, str(other)).exists for other in range(1, count)]
    if number == 0:
        _wait_until(lambda: all(is_noted() for is_noted in others))
    Path(folder, str(number)).touch()


def note_modules(folder: str) -> None:
    """Writes down the names of all modules that are imported."""
    Path(folder, "modules").write_text("\n".join(sys.modules))


def note_temporary_folder(number: int, folder: str) -> None:
    """Writes down where a worker's temporary files are."""
    Path(folder, str(number)).write_text(tempfile.gettempdir())


def fail(number: int) -> None:
    raise ValueError("a price below 0")


def fail_in(number: int, folder: str, pid: int) -> None:
    """Fails in the worker of one pool once another's is at work, which waits."""
    if _pool() != pid:
        note_pool_and_wait(number, folder)
    _wait_until(lambda: os.listdir(folder))
    raise ValueError("a price below 0")


def _note(number: int, folder: str, pid: int) -> None:
    # A name is there at once. A file's text is not, and a test that took an empty one for process 0 would kill itself.
    Path(folder, f"{number}.{pid}").touch()


def _pool() -> int:
    return int(psutil.Process(os.getppid()).ppid())


def _wait_until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
