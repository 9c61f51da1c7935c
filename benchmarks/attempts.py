"""Whole attempts: a task that was interrupted finds the workspace as it was before it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.claim.lock import claimed
from pipeline.workspace import Workspace


@contextlib.contextmanager
def whole_attempt(workspace: Path, copy: Path) -> Iterator[None]:
    """Keeps a copy of a workspace as long as a task runs in it.

    Artifacts are never written again, so that the copy has links to their files; all others are copied.

    Args:
      workspace: The workspace; it need not exist.
      copy: The copy, which must not exist. `put_back` takes it after an attempt that did not end well.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f"{copy.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(workspace, part, ignore=lambda folder, _: {"artifacts"} if Path(folder) == workspace else set())
    if (workspace / "artifacts").exists():
        shutil.copytree(workspace / "artifacts", part / "artifacts", copy_function=os.link)
    part.rename(copy)
    yield
    _remove(copy)


def put_back(copy: Path, workspace: Path) -> None:
    """Makes a copy the workspace again; raises WorkspaceBusyError if the interrupted task still runs."""
    with claimed(Workspace.at(workspace)):
        pass
    interrupted = workspace.with_name(f"{workspace.name}.interrupted")
    shutil.rmtree(interrupted, ignore_errors=True)
    workspace.rename(interrupted)
    copy.rename(workspace)
    shutil.rmtree(interrupted)


def _remove(copy: Path) -> None:
    """Removes a copy so that no part of it is ever taken for a copy."""
    part = copy.rename(copy.with_name(f"{copy.name}.part"))
    shutil.rmtree(part)
