"""A run's claim on its workspace: no other run is in it meanwhile, and nothing is left of those that were killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import logging
from filelock import FileLock, Timeout
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.workspace import Workspace
from transform.errors import UserError


class WorkspaceBusyError(UserError):
    """Another run is using the workspace."""


@contextlib.contextmanager
def claimed(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace for one run, whose temporary files are in it; first removes what killed runs have left.

    Raises:
      WorkspaceBusyError: If another run holds it.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(workspace.root / ".lock", timeout=0))
        except Timeout as error:
            raise WorkspaceBusyError(
                f"the workspace takes one run at a time, and another is using it ({workspace.root})"
            ) from error
        _remove_remains(workspace)
        stack.enter_context(_temporary_files_in(workspace.temporary))
        yield


def _remove_remains(workspace: Workspace) -> None:
    """Removes what executions have written that were killed, and marks them as failed.

    TFX's launcher does so for an executor that raises. That the workspace is held tells that none is running.
    """
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        executions = handle.store.get_executions()
        killed = [e for e in executions if e.last_known_state == metadata_store_pb2.Execution.RUNNING]
        for execution in killed:
            # As TFX names them: outputs, and the executor's own folder.
            for pattern in (f"*/*/{execution.id}", f"*/.system/executor_execution/{execution.id}"):
                for folder in workspace.artifacts.glob(pattern):
                    shutil.rmtree(folder)
            execution.last_known_state = metadata_store_pb2.Execution.FAILED
            logging.info("execution %d was killed; what it wrote is removed", execution.id)
        if killed:
            handle.store.put_executions(killed)
    for folder in workspace.artifacts.glob("*/.system/stateful_working_dir/*"):
        shutil.rmtree(folder)
    for file in workspace.reports.glob("*.part"):
        file.unlink()


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Puts the temporary files of this process, and of those that it starts, into a folder that goes on leaving.

    TFX, Beam and TensorFlow leave some behind when they are killed, and TFX does even when it is not.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    saved, saved_default = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = saved_default
        if saved is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = saved
        shutil.rmtree(folder, ignore_errors=True)  # what is still in use goes when the next run starts
