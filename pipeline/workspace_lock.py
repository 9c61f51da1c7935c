"""A run's claim on its workspace: no other run is in it meanwhile, and nothing is left of those that were killed.

    .lock              a whole run's lock, which nodes share: POSIX record locks, `fcntl`, by SQLite
    .locks/push        a node's lock: `flock`, which an NFS client of Linux turns into a record lock, as of .lock
    .claim             the token of the whole run that claimed the workspace last; none once a node did
    .locks/push.claim  the token of the process that claimed the node last; none once a whole run did

All processes of a workspace, on whatever machines, must see the same locks. They do on a local file system, and on
NFS 4, whose server keeps the locks: of a client for as long as it hears of it once in its lease time, 90 seconds unless
it was set otherwise, and over its own restarts only with a grace period. On NFS 3 they do with lock daemons on both
sides, and not if mounted with `nolock` or `local_lock`. On a folder of an object store, such as s3fs or gcsfuse mount
it, locks hold within one machine at best, and a rename is no single step: no workspace may be there. What loses its
lock, wherever that is, pushes nothing afterwards: see `components.fence`.
Source: SQLite, "File Locking And Concurrency", section 6; Linux, flock(2) and nfs(5); RFC 8881, section 8.4.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ml_metadata as mlmd
from absl import logging
from filelock import FileLock, ReadWriteLock, Timeout
from ml_metadata.proto import metadata_store_pb2

from components.fence import Fence, within
from pipeline.metadata.handle import Metadata
from pipeline.workspace import Workspace
from pipeline.workspace_owner import check_owner, is_own
from transform.errors import UserError

#: Some days' executions. Those that were killed are the last that were written to, but for what single nodes did since.
_LATEST = mlmd.ListOptions(limit=200, order_by=mlmd.OrderByField.UPDATE_TIME, is_asc=False)


class WorkspaceBusyError(UserError):
    """Another run is using the workspace."""


class NoLockError(UserError):
    """The workspace's lock cannot be had, whoever uses the workspace."""


@contextlib.contextmanager
def claimed(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace for one run, whose temporary files are in it; first removes what killed runs have left.

    Raises:
      WorkspaceBusyError: If another run, or a node of one, holds it.
      NoLockError: If the file system keeps no locks, or the lock's file is none.
      ForeignDatabaseError: If ML Metadata is another workspace's.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_lock(workspace).write_lock(blocking=False))
        except Timeout as error:
            raise WorkspaceBusyError(
                f"the workspace takes one run at a time, and another is using it ({workspace.root})"
            ) from error
        except sqlite3.Error as error:
            raise _no_lock(workspace, error) from error
        fence = Fence.put_up(workspace.root / ".claim")
        for claim in workspace.locks.glob("*.claim"):
            claim.unlink()
        stack.enter_context(within(fence))
        with Metadata(workspace.metadata_connection()) as handle:
            check_owner(handle.store, workspace)
            _remove_remains(handle.store, workspace, handle.store.get_executions(list_options=_LATEST), "*")
        for file in workspace.reports.glob("*.part"):
            file.unlink()
        stack.enter_context(_temporary_files_in(workspace.temporary, fence))
        yield


@contextlib.contextmanager
def node_claimed(workspace: Workspace, pipeline_name: str, node_id: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds one node in a workspace, for a scheduler that runs several at once, each in its own process.

    Other nodes can be held meanwhile, but no whole run, nor this node of another pipeline, whose files lie in the same
    folders. First removes what killed processes have left of this one.

    Args:
      workspace: The workspace.
      pipeline_name: The node's pipeline.
      node_id: The node.
      wait_seconds: How long to wait for whoever holds it, such as the last try, whose scheduler alone was killed.

    Raises:
      WorkspaceBusyError: If a run, or another process with this node, still holds it then.
      NoLockError: If the file system keeps no locks, or the lock's file is none.
      ForeignDatabaseError: If ML Metadata is another workspace's.
    """
    workspace.locks.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_lock(workspace).read_lock(timeout=wait_seconds))
            stack.enter_context(FileLock(workspace.locks / node_id, timeout=wait_seconds))
        except Timeout as error:
            raise WorkspaceBusyError(
                f"another process is running {node_id}, or a whole run ({workspace.root})"
            ) from error
        except sqlite3.Error as error:
            raise _no_lock(workspace, error) from error
        fence = Fence.put_up(workspace.locks / f"{node_id}.claim")
        (workspace.root / ".claim").unlink(missing_ok=True)
        stack.enter_context(within(fence))
        with Metadata(workspace.metadata_connection()) as handle:
            check_owner(handle.store, workspace)
            node = handle.store.get_context_by_type_and_name("node", f"{pipeline_name}.{node_id}")
            executions = handle.store.get_executions_by_context(node.id) if node else []
            _remove_remains(handle.store, workspace, executions, node_id)
        stack.enter_context(_temporary_files_in(workspace.temporary / node_id, fence))
        yield


def _lock(workspace: Workspace) -> ReadWriteLock:
    return ReadWriteLock(workspace.root / ".lock", is_singleton=False)


def _no_lock(workspace: Workspace, error: sqlite3.Error) -> NoLockError:
    return NoLockError(
        "a workspace's lock must be a file of SQLite's on a file system that keeps locks, local or NFS 4. "
        f"Received: {error} ({workspace.root / '.lock'})"
    )


def _remove_remains(
    store: mlmd.MetadataStore, workspace: Workspace, executions: list[metadata_store_pb2.Execution], node: str
) -> None:
    """Removes what executions have written that were killed, and marks them as failed.

    TFX's launcher does so for an executor that raises. The caller holds their lock, so none of them is running. Those
    of other pipelines of TFX, which may be in the same database, are left alone.

    Args:
      store: ML Metadata.
      workspace: Where they wrote.
      executions: The executions that are held.
      node: Their node's folder below the artifacts; a glob.
    """
    running = [e for e in executions if e.last_known_state == metadata_store_pb2.Execution.RUNNING]
    killed = [execution for execution in running if is_own(store, execution)]
    for execution in killed:
        # As TFX names them: outputs, and the executor's own folder.
        for pattern in (f"{node}/*/{execution.id}", f"{node}/.system/executor_execution/{execution.id}"):
            for folder in workspace.artifacts.glob(pattern):
                shutil.rmtree(folder)
        execution.last_known_state = metadata_store_pb2.Execution.FAILED
        logging.info("execution %d was killed; what it wrote is removed", execution.id)
    if killed:
        store.put_executions(killed)
    for folder in workspace.artifacts.glob(f"{node}/.system/stateful_working_dir/*"):
        shutil.rmtree(folder)


@contextlib.contextmanager
def _temporary_files_in(folder: Path, fence: Fence) -> Iterator[None]:
    """Puts the temporary files of this process, and of those that it starts, into a folder that goes on leaving.

    TFX, Beam and TensorFlow leave some behind when they are killed, and TFX does even when it is not.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
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
        if fence.stands:  # else the folder is another's
            shutil.rmtree(folder, ignore_errors=True)  # what is still in use goes when the next run starts
