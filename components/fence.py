"""Fencing token of a workspace: a process that has lost the workspace's lock without notice cannot push.

A process may lose its lock while it still runs: the lock file is removed, a file system releases the lock (an NFS
server that has not heard from the client for a lease's time), or never held it (a folder of an object store). Then
another run may begin. So each claim writes a random token into a file, which invalidates all earlier claims, and a push
checks its token right before its version appears.

A process may be paused between that check and the rename by which a version appears. That is harmless: the rename fails
if another push has taken the version's number meanwhile. If none has, the version appears as if it had been pushed
before the loss, and the push of a later candidate model compares its baseline with it.
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
    """Another process has claimed the workspace, or removed the copy, that this process held."""


@dataclasses.dataclass(frozen=True)
class Fence:
    """A claim on a workspace: its token, and the file with the latest claim's token.

    Attributes:
      file: The file with the token of the latest claim.
      token: The token of this claim.
    """

    file: Path
    token: str

    @classmethod
    def put_up(cls, file: Path) -> Fence:
        """Writes a new token, which invalidates the previous one."""
        fence = cls(file, str(uuid.uuid4()))
        part = file.with_name(f"{file.name}.{fence.token}")  # without a lock, two processes may write at once
        part.write_text(fence.token + "\n")
        part.replace(file)
        return fence

    @property
    def stands(self) -> bool:
        """Whether no later claim has invalidated this one."""
        return (storage.read_text(str(self.file)) or "").strip() == self.token

    def check(self) -> None:
        """Raises LostClaimError if a later claim has invalidated this one."""
        if not self.stands:
            raise LostClaimError(
                "a run must hold its workspace's lock until it has pushed, and another run has taken it meanwhile; "
                f"nothing is pushed, run again when that one has ended ({self.file.parent})"
            )


#: The claims that this process holds; they apply to all of its threads.
_locked: list[Fence] = []


@contextlib.contextmanager
def within(fence: Fence) -> Iterator[None]:
    """Holds a claim while the context's body runs."""
    _locked.append(fence)
    try:
        yield
    finally:
        _locked.remove(fence)


def check_locked() -> None:
    """Raises LostClaimError if a claim of this process is invalid; does nothing without claims, as in a rollback."""
    for fence in _locked:
        fence.check()
