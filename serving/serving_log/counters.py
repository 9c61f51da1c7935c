"""The counters of one writer of the log, in a file that is mapped into memory: they outlive a killed process."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping

from transform.errors import InputError

#: Why a request that the share takes is not in the log: the queue was full, the disk failed or was full, the record was
#: too long, a candidate was in the request twice, so that no event could be joined to it, or its fields were wrong.
DROPPED = ("queue_full", "disk", "too_long", "doubled_item", "invalid")

#: All counters, in the file's order. `answered` is all requests. `written_before` is `written` as the open file began;
#: `ended` is 1 once the writer's account is closed, and `lost` is final.
COUNTERS = ("answered", "not_sampled", "written", *DROPPED, "lost", "written_before", "ended")

_MAGIC = b"WDRCNT\x00\x01"
_BYTES = len(_MAGIC) + 8 * len(COUNTERS)
_INDEX: Mapping[str, int] = {name: 1 + at for at, name in enumerate(COUNTERS)}

#: Before it is locked, a file has this name's end, so that nobody takes it for that of an ended process.
_NEW = ".new"


class Counters:
    """Counters in a mapped file, which is locked as long as its process lives.

    A value is stored by one machine instruction, so that it is whole in the file whenever the process is killed. The
    caller makes sure that one thread at a time adds.

    Args:
      path: The file.
      creates: Whether it is created; otherwise it must exist.

    Raises:
      BlockingIOError: If another process has locked it.
      InputError: If the file is not one of counters.
      OSError: If it cannot be created or read.
    """

    def __init__(self, path: str, *, creates: bool) -> None:
        made = path + _NEW if creates else path
        self._file = os.open(made, os.O_RDWR | (os.O_CREAT | os.O_EXCL if creates else 0), 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if creates:
                content = _MAGIC + bytes(_BYTES - len(_MAGIC))
                os.posix_fallocate(self._file, 0, _BYTES)  # else a full disk would end the process at a store
                os.pwrite(self._file, content, 0)
                os.rename(made, path)
            if os.pread(self._file, _BYTES + 1, 0)[: len(_MAGIC)] != _MAGIC or os.fstat(self._file).st_size != _BYTES:
                raise InputError(
                    f"a file of counters must be one of the serving log's. Received: another file ({path})"
                )
            self._values = memoryview(mmap.mmap(self._file, _BYTES)).cast("Q")
        except BaseException:
            os.close(self._file)
            if creates and os.path.exists(made):
                os.unlink(made)
            raise

    def __getitem__(self, name: str) -> int:
        return self._values[_INDEX[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._values[_INDEX[name]] = value

    def add(self, name: str, number: int = 1) -> None:
        """Adds to a counter."""
        self._values[_INDEX[name]] += number

    def values(self) -> dict[str, int]:
        """All counters."""
        return {name: self[name] for name in COUNTERS}

    def close(self) -> None:
        """Unlocks the file; the counters stay readable."""
        os.close(self._file)


def read_counters(path: str) -> dict[str, int]:
    """Reads the counters of a process that may live; errors are those of `Counters`."""
    with open(path, "rb") as file:
        content = file.read(_BYTES + 1)
    if len(content) != _BYTES or not content.startswith(_MAGIC):
        raise InputError(f"a file of counters must be one of the serving log's. Received: another file ({path})")
    values = memoryview(content).cast("Q")
    return {name: values[at] for name, at in _INDEX.items()}
