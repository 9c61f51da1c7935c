"""Binds an ML Metadata database to one workspace: executions, artifacts and caches of two would mix.

The workspace keeps a random id in a file; the database keeps it in a unique context, from the first run on.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import ml_metadata as mlmd
from filelock import FileLock
from ml_metadata.proto import metadata_store_pb2

from components import storage
from pipeline.metadata.connection import place_of
from pipeline.metadata.store import NODE_RUN
from pipeline.workspace import Workspace
from transform.errors import UserError

#: Never changes: databases have it on record, as the first release named it.
CONTEXT_TYPE = "pipeline.owner.Workspace"

#: The only name of a context of this type: ML Metadata rejects a second context of the same name.
_NAME = "owner"

#: Custom properties of the context: the workspace's id, and its folder when it was bound to the database.
_ID, _ROOT = "id", "root"


class ForeignDatabaseError(UserError):
    """The ML Metadata database belongs to another workspace."""


class MovedWorkspaceError(UserError):
    """A workspace is no longer where ML Metadata has its artifacts."""


def check_owner(store: mlmd.MetadataStore, workspace: Workspace) -> None:
    """Checks that a database belongs to the workspace; binds it to the workspace if it belongs to none.

    Args:
      store: ML Metadata.
      workspace: The workspace; the caller holds it, or one of its nodes.

    Raises:
      ForeignDatabaseError: If the database belongs to another workspace, or this workspace is a copy of its owner.
      MovedWorkspaceError: If the workspace has artifacts and was moved since its first run, or is a copy.
    """
    workspace.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.locks / "owner"):  # nodes of a first run start at the same time
        own_id = _read_or_create_id(workspace)
        owner = _owner(store) or _take(store, workspace, own_id)
    owner_id, root = (owner.custom_properties[key].string_value for key in (_ID, _ROOT))
    if owner_id == own_id and not _is_copy(workspace, root):
        _check_not_moved(store, workspace, root)
        return
    database = place_of(workspace.metadata_connection())
    raise ForeignDatabaseError(
        "a database of ML Metadata must be one workspace's alone. Received: that of the workspace "
        f"{root} ({owner_id}), for {workspace.root} ({own_id}); the database is {database}. "
        f"Where the first one is lost and this one takes its place, write {owner_id} into {workspace.id_file}, "
        f"and make {root} a link to {workspace.root}"
    )


def is_own(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution) -> bool:
    """Returns whether an execution is of this project's pipelines; in the workspace's database, it is then its own.

    Other TFX pipelines may share the database.
    """
    return any(context.type == NODE_RUN for context in store.get_contexts_by_execution(execution.id))


def _read_or_create_id(workspace: Workspace) -> str:
    """Returns the id of a workspace; creates it if there is none."""
    found = _written_id(workspace)
    if not found:
        found = str(uuid.uuid4())
        storage.write_text(str(workspace.id_file), found + "\n")
    return found


def _written_id(workspace: Workspace) -> str:
    """Returns what a workspace's file of its id has; empty if there is no such file."""
    return (storage.read_text(str(workspace.id_file)) or "").strip()


def _owner(store: mlmd.MetadataStore) -> metadata_store_pb2.Context | None:
    found: metadata_store_pb2.Context | None = store.get_context_by_type_and_name(CONTEXT_TYPE, _NAME)
    return found


def _take(store: mlmd.MetadataStore, workspace: Workspace, own_id: str) -> metadata_store_pb2.Context:
    """Records the workspace as owner; returns the recorded owner, as another workspace may have been first."""
    context = metadata_store_pb2.Context(name=_NAME)
    context.custom_properties[_ID].string_value = own_id
    context.custom_properties[_ROOT].string_value = str(workspace.root)
    try:
        context.type_id = store.put_context_type(metadata_store_pb2.ContextType(name=CONTEXT_TYPE))
        store.put_contexts([context])
    except mlmd.errors.AlreadyExistsError:
        found = _owner(store)
        assert found is not None
        return found
    return context


def _is_copy(workspace: Workspace, root: str) -> bool:
    """Returns whether a workspace is a copy of its owner, with the same id and the same database on a server."""
    if workspace.metadata_connection().WhichOneof("config") == "sqlite":
        return False
    return os.path.isdir(root) and not os.path.samefile(root, workspace.root)


def _check_not_moved(store: mlmd.MetadataStore, workspace: Workspace, root: str) -> None:
    """Raises MovedWorkspaceError if artifacts were made at the recorded folder, and that is not this workspace's.

    That folder may be a link to the workspace.
    """
    if os.path.exists(root) and os.path.samefile(root, workspace.root):
        return
    if not any(Path(root) in Path(artifact.uri).parents for artifact in store.get_artifacts()):
        return
    rule = "a workspace must stay where its first run made it: ML Metadata has the absolute paths of its artifacts"
    if _written_id(Workspace.at(root)) == _written_id(workspace):
        raise MovedWorkspaceError(
            f"{rule}. Received: {workspace.root}, a copy of the workspace {root}, whose artifacts it would read. Run "
            f"in {root}; where the copy is to take its place, move {root} away, and make {root} a link to "
            f"{workspace.root}"
        )
    raise MovedWorkspaceError(
        f"{rule}. Received: {workspace.root}, of a workspace made at {root}. Move it back, or make {root} a link to it"
    )
