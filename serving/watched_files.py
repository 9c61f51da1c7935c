"""Files that are taken again when they change: tokens, and certificates with their keys."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from transform.errors import InputError, UserError

#: The bytes of each file.
Contents: TypeAlias = tuple[bytes, ...]

#: A level, a sentence, and a reason.
Tell: TypeAlias = Callable[[str, str, str | None], None]

_MAX_BYTES = 1 << 20


class WatchedFiles:
    """Files that belong together.

    Their bytes are compared, since a file that is put in another's place may have its size and time.

    Args:
      what: What they are, for the log: `the callers' token`.
      paths: The files.
      take: Called with their bytes, the first time at once. What it raises, UserError or OSError, then refuses them.
      tell: Called with what became of new bytes: `info` or `error`, a sentence, and for an error the reason.
      looks: New bytes are taken when so many looks in a row found them. With two, half a file seldom is, or a new
        certificate beside the old key.

    Raises:
      InputError: If a file is too large.
      OSError: If a file cannot be read.
    """

    def __init__(
        self, what: str, paths: Sequence[str], take: Callable[[Contents], None], tell: Tell, looks: int = 2
    ) -> None:
        self._what, self._paths, self._take, self._tell, self._looks = what, paths, take, tell, looks
        self._taken = tuple(_first_bytes(path) for path in paths)
        take(self._taken)
        self._last: Contents | str = self._taken
        self._found_times = 0
        self._refused: Contents | str | None = None

    def check(self) -> None:
        """Looks at the files; what is new and cannot be used changes nothing, and is told once in the log."""
        found = self._look()
        self._found_times = self._found_times + 1 if found == self._last else 1
        self._last = found
        if found == self._taken:
            self._refused = None
        elif self._found_times >= self._looks:
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
                self._tell("error", f"{self._what} cannot be read again; the earlier stays in use", str(error))
            self._refused = found
        else:
            self._taken, self._refused = found, None
            self._tell("info", f"{self._what} was read again", None)


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
