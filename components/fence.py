"""The fence around a workspace: whoever has lost its lock without notice pushes nothing any more.

A lock may be lost while its holder still runs: its file is removed, a file system stops keeping it (an NFS server that
has not heard of the client for a lease's time), or has never kept it (a folder of an object store). Then another run
may begin. So each claim writes a random token into a file and makes those of the claims before it void; a push looks at
its token right before its version appears.

Between that look and the rename by which a version appears, a process may be stopped for any time. It does no harm: the
rename fails if another push has taken the version's number meanwhile. If none has, the version appears as one that was
pushed before the loss, and the push of a later candidate compares its baseline with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path

from components import storage
from transform.errors import UserError


class LostClaimError(UserError):
    """Another process has taken what this one held."""


@dataclasses.dataclass(frozen=True)
class Fence:
    """A claim's token, and where it is.

    Attributes:
      file: Has the token of the latest claim.
      token: This claim's.
    """

    file: Path
    token: str

    @classmethod
    def put_up(cls, file: Path) -> Fence:
        """Writes a new token, which makes the one before it void."""
        fence = cls(file, str(uuid.uuid4()))
        part = file.with_name(f"{file.name}.{fence.token}")  # without a lock two may put one up at once
        part.write_text(fence.token + "\n")
        part.replace(file)
        return fence

    @property
    def stands(self) -> bool:
        """Whether no later claim has made this one void."""
        return (storage.read_text(str(self.file)) or "").strip() == self.token

    def check(self) -> None:
        """Raises LostClaimError if a later claim has made this one void."""
        if not self.stands:
            raise LostClaimError(
                "a run must hold its workspace's lock until it has pushed, and another run has taken it meanwhile; "
                f"nothing is pushed, run again when that one has ended ({self.file.parent})"
            )


#: Of the claims that this process holds; whatever runs in it, in any thread, is under them.
_held: list[Fence] = []


@contextlib.contextmanager
def within(fence: Fence) -> Iterator[None]:
    """Runs what is in the context under a claim."""
    _held.append(fence)
    try:
        yield
    finally:
        _held.remove(fence)


def check_held() -> None:
    """Raises LostClaimError if a claim of this process is void; a process without any, as of a rollback, passes."""
    for fence in _held:
        fence.check()
