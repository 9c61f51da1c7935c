"""A run's claim on its workspace: excludes other runs, and removes what killed runs have left.

    .lock              the lock of a whole run, shared by nodes: POSIX record locks (`fcntl`), taken by SQLite
    .locks/push        the lock of a node: `flock`, which Linux's NFS client turns into a record lock, like .lock
    .claim             the token of the last whole run that claimed the workspace; removed by a node's claim
    .locks/push.claim  the token of the last process that claimed the node; removed by a whole run's claim

All processes of a workspace, on all machines, must see the same locks. This holds on a local file system, and on NFS 4,
whose server keeps the locks: those of a client as long as it hears from the client once per lease time, 90 seconds by
default, and across its own restarts only with a grace period. On NFS 3 it holds with lock daemons on both sides, but
not if mounted with `nolock` or `local_lock`. On a mounted object store, such as by s3fs or gcsfuse, locks hold within
one machine at best, and a rename is not atomic: a workspace must not be there. On any file system, a process that loses
its lock pushes nothing afterwards: see `components.fence`.
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
from pipeline.claim.owner import check_owner, is_own
from pipeline.metadata.integrity import check_database
from pipeline.metadata.store import open_store
from pipeline.workspace import Workspace
from transform.errors import UserError

#: The executions of some days. Killed ones are the last that were updated, except for what single nodes ran since.
_LATEST = mlmd.ListOptions(limit=200, order_by=mlmd.OrderByField.UPDATE_TIME, is_asc=False)


class WorkspaceBusyError(UserError):
    """Another run is using the workspace."""


class NoLockError(UserError):
    """The workspace's lock cannot be taken, whether or not the workspace is in use."""


@contextlib.contextmanager
def claimed(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace for one run, and keeps its temporary files in it; first removes what killed runs have left.

    Raises:
      WorkspaceBusyError: If another run, or a node of one, holds it.
      NoLockError: If the file system keeps no locks, or the lock's file is not an SQLite file.
      DamagedMetadataError: If the file of ML Metadata's database is damaged.
      ForeignDatabaseError: If ML Metadata belongs to another workspace.
      MovedWorkspaceError: If the workspace was moved since its first run, or is a copy.
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
        _remove_all_remains(workspace)
        for file in workspace.reports.glob("*.part"):
            file.unlink()
        stack.enter_context(_temporary_files_in(workspace.temporary, fence))
        yield


@contextlib.contextmanager
def node_claimed(workspace: Workspace, pipeline_name: str, node_id: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds one node in a workspace, for a scheduler that runs several nodes at once, each in a process of its own.

    Other nodes can be held at the same time, but not a whole run, nor the node of the same name of another pipeline,
    whose files are in the same folders. First removes what killed processes of this node have left.

    Args:
      workspace: The workspace.
      pipeline_name: The node's pipeline.
      node_id: The node.
      wait_seconds: How long to wait for another holder, such as a previous attempt that outlived its killed scheduler.

    Raises:
      WorkspaceBusyError: If a run, or another process with this node, still holds it after that time.
      NoLockError: If the file system keeps no locks, or the lock's file is not an SQLite file.
      DamagedMetadataError: If the file of ML Metadata's database is damaged.
      ForeignDatabaseError: If ML Metadata belongs to another workspace.
      MovedWorkspaceError: If the workspace was moved since its first run, or is a copy.
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
        _remove_remains_of_node(workspace, pipeline_name, node_id)
        stack.enter_context(_temporary_files_in(workspace.temporary / node_id, fence))
        yield


def _lock(workspace: Workspace) -> ReadWriteLock:
    return ReadWriteLock(workspace.root / ".lock", is_singleton=False)


def _no_lock(workspace: Workspace, error: sqlite3.Error) -> NoLockError:
    return NoLockError(
        "a workspace's lock must be a file of SQLite's on a file system that keeps locks, local or NFS 4. "
        f"Received: {error} ({workspace.root / '.lock'})"
    )


def _remove_all_remains(workspace: Workspace) -> None:
    """Removes what any killed process has left; first checks that ML Metadata's database is whole."""
    connection = workspace.metadata_connection()
    check_database(connection, whole=True)
    store = open_store(connection)
    check_owner(store, workspace)
    _remove_remains(store, workspace, store.get_executions(list_options=_LATEST), "*")


def _remove_remains_of_node(workspace: Workspace, pipeline_name: str, node_id: str) -> None:
    """Removes what killed processes of one node have left."""
    store = open_store(workspace.metadata_connection())
    check_owner(store, workspace)
    node = store.get_context_by_type_and_name("node", f"{pipeline_name}.{node_id}")
    executions = store.get_executions_by_context(node.id) if node else []
    _remove_remains(store, workspace, executions, node_id)


def _remove_remains(
    store: mlmd.MetadataStore, workspace: Workspace, executions: list[metadata_store_pb2.Execution], node: str
) -> None:
    """Removes the outputs of killed executions, and marks these as failed.

    TFX's launcher does the same for an executor that raises. The caller holds the lock, so that none of the executions
    is running. Executions of other TFX pipelines, which may share the database, are left alone.

    Args:
      store: ML Metadata.
      workspace: The workspace they wrote to.
      executions: The executions that the caller's lock covers.
      node: The folder of their node below the artifacts; a glob.
    """
    running = [e for e in executions if e.last_known_state == metadata_store_pb2.Execution.RUNNING]
    killed = [execution for execution in running if is_own(store, execution)]
    for execution in killed:
        # How TFX 1.21.0 names the folders of outputs and of the executor; it documents neither.
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
    """Puts the temporary files of this process and its children into a folder, which is removed at the end.

    TFX, Beam and TensorFlow leave temporary files behind when they are killed; TFX does so even when it is not.
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
        if fence.stands:  # otherwise the folder belongs to another process
            shutil.rmtree(folder, ignore_errors=True)  # files still in use are removed when the next run starts
