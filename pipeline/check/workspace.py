"""Whether a workspace's database and its files are of one moment, as after a restore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.model_store.versions import pushed_models, versions
from pipeline.claim.owner import check_owner
from pipeline.metadata.connection import place_of
from pipeline.metadata.integrity import check_database
from pipeline.metadata.store import open_store
from pipeline.runner.lost_metadata import unknown_ids
from pipeline.workspace import Workspace
from transform.errors import InputError

_LIVE = metadata_store_pb2.Artifact.LIVE


def check_workspace(workspace: Workspace) -> str:
    """Checks that ML Metadata can be read, belongs to the workspace, and fits its folders.

    It changes nothing, except that a database without an owner is bound to the workspace, as by a run.

    Args:
      workspace: The workspace; no run may be using it.

    Returns:
      One sentence on what was compared.

    Raises:
      InputError: If the database and the folders differ; one sentence for each difference.
      DamagedMetadataError: If the file of the database is damaged.
      ForeignDatabaseError: If the database belongs to another workspace.
      MovedWorkspaceError: If the workspace was moved or copied.
    """
    connection = workspace.metadata_connection()
    check_database(connection, whole=True)
    store = open_store(connection)
    check_owner(store, workspace)
    live = [a for a in store.get_artifacts() if a.state == _LIVE and workspace.artifacts in Path(a.uri).parents]
    pushed = [
        (folder.name, version, uri)
        for folder in sorted((workspace.root / "serving").glob("*"))
        for version, uri in pushed_models(str(folder))
        if version in versions(str(folder))
    ]
    if found := list(_differences(store, workspace, live, pushed)):
        raise InputError(
            "the database of ML Metadata and the workspace's folders must be of the same moment: restore both from one "
            f"copy. Received: {'; '.join(found)} ({place_of(connection)})"
        )
    return f"the database and the folders agree: {len(live):,} artifacts, {len(pushed)} versions"


def _differences(
    store: mlmd.MetadataStore,
    workspace: Workspace,
    live: list[metadata_store_pb2.Artifact],
    pushed: list[tuple[str, int, str]],
) -> Iterator[str]:
    """Yields a sentence for each way in which they differ."""
    if gone := [artifact.uri for artifact in live if not Path(artifact.uri).exists()]:
        yield f"{len(gone):,} of {len(live):,} artifacts in the database have no folder, such as {gone[0]}"
    if unknown := unknown_ids(store, workspace):
        yield f"the database does not have the executions {unknown[0]} to {unknown[-1]}, of which there are folders"
    for name, version, uri in pushed:
        if not store.get_artifacts_by_uri(uri):
            yield f"the database does not have the model of version {version} of {name} ({uri})"
