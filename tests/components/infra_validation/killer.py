"""Kills dry runs' processes as a system does whose memory runs out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psutil

#: The seconds between two looks for processes.
_EVERY = 0.02


@contextlib.contextmanager
def killing_dry_runs(most: int) -> Iterator[list[int]]:
    """Within the block, kills the dry runs' processes that this process starts with SIGKILL, at most `most` of them.

    Yields:
      The ids of those that it has killed so far.
    """
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while not done.wait(_EVERY) and len(killed) < most:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.pid not in killed and len(killed) < most and "serving.dry_run" in child.cmdline():
                        child.kill()
                        killed.append(child.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()
