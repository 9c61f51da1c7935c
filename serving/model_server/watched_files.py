"""Files that are taken again when they change: tokens, and certificates with their keys."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from serving.model_server import background
from serving.model_server.logs import log
from transform.errors import InputError, UserError

#: The bytes of each file.
Contents: TypeAlias = tuple[bytes, ...]

_MAX_BYTES = 1 << 20


class WatchedFiles:
    """Files that belong together.

    Their bytes are compared, since a file that is put in another's place may have its size and time. They are taken
    once two looks in a row found the same, so that half a file, or a new certificate beside the old key, seldom is.

    Args:
      what: What they are, for the log: `the callers' token`.
      paths: The files.
      take: Called with their bytes, the first time at once. What it raises, UserError or OSError, then refuses them.

    Raises:
      InputError: If a file is too large.
      OSError: If a file cannot be read.
    """

    def __init__(self, what: str, paths: Sequence[str], take: Callable[[Contents], None]) -> None:
        self._what, self._paths, self._take = what, paths, take
        self._taken = tuple(_first_bytes(path) for path in paths)
        take(self._taken)
        self._last: Contents | str = self._taken
        self._refused: Contents | str | None = None

    def check(self) -> None:
        """Looks at the files; what is new and cannot be used changes nothing, and is told once in the log."""
        found = self._look()
        settled, self._last = found == self._last, found
        if found == self._taken:
            self._refused = None
        elif settled:
            self._replace(found)

    def _look(self) -> Contents | str:
        """The files' bytes, or why there are none."""
        try:
            return tuple(_bytes(path) for path in self._paths)
        except (UserError, OSError) as error:
            return str(error)

    def _replace(self, found: Contents | str) -> None:
        try:
            if isinstance(found, str):
                raise InputError(found)
            self._take(found)
        except (UserError, OSError) as error:
            if found != self._refused:
                log("error", f"{self._what} cannot be read again; the earlier stays in use", reason=str(error))
            self._refused = found
        else:
            self._taken, self._refused = found, None
            log("info", f"{self._what} was read again")


async def watch(watched: Sequence[WatchedFiles], seconds: float) -> None:
    """Looks at files again and again, in threads of their own, until it is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        for files in watched:
            await background.start(files.check, behind_requests=True)


def _first_bytes(path: str) -> bytes:
    """Those of any file: one that is no regular one, such as a shell's `<(command)`, can be read once."""
    with Path(path).open("rb") as file:
        return _bounded(file.read(_MAX_BYTES + 1), path)


def _bytes(path: str) -> bytes:
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a pipe's writer
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise InputError(f"a file must be a regular one to be read again. Received: another kind ({path})")
        with open(number, "rb", closefd=False) as file:
            return _bounded(file.read(_MAX_BYTES + 1), path)
    finally:
        os.close(number)


def _bounded(content: bytes, path: str) -> bytes:
    if len(content) > _MAX_BYTES:
        raise InputError(f"a token or a certificate must have at most {_MAX_BYTES} bytes. Received: more ({path})")
    return content
