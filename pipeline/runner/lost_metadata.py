"""Reserves execution ids in a workspace whose ML Metadata was lost, or is older than its artifacts.

TFX 1.21.0 names an artifact's folder by the id of the execution that writes it. A new database would assign the same
ids again: new examples would be written next to old ones and be read together with them, and a new model would replace
a pushed one, which is still needed as a baseline or by a resumed training.
"""

from __future__ import annotations

from collections.abc import Iterator

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2

from components.model_store.versions import pushed_models
from pipeline.metadata.handle import Metadata
from pipeline.workspace import Workspace

#: Never changes: workspaces have it on record, as the first release named it.
EXECUTION_TYPE = "pipeline.lost_metadata.Reserved"

_PER_CALL = 1000


def reserve_ids(connection: metadata_store_pb2.ConnectionConfig, workspace: Workspace) -> int:
    """Uses up the execution ids that ML Metadata does not have but the workspace has folders for.

    Returns:
      The number of reserved ids; 0 if ML Metadata has all of the workspace's executions.
    """
    with Metadata(connection) as handle:
        store = handle.store
        if number := len(unknown_ids(store, workspace)):
            logging.warning("ML Metadata does not know the last %d executions of %s", number, workspace.root)
            type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE))
            state = metadata_store_pb2.Execution.CANCELED
            reserved = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
            for done in range(0, number, _PER_CALL):
                store.put_executions([reserved] * min(_PER_CALL, number - done))
    return number


def unknown_ids(store: mlmd.MetadataStore, workspace: Workspace) -> range:
    """Returns the ids above those that ML Metadata has, up to the highest that the workspace has a folder for."""
    return range(_last_id(store) + 1, max(_ids_in(workspace), default=0) + 1)


def _last_id(store: mlmd.MetadataStore) -> int:
    newest = mlmd.ListOptions(limit=1, order_by=mlmd.OrderByField.ID, is_asc=False)
    return max((execution.id for execution in store.get_executions(newest)), default=0)


def _ids_in(workspace: Workspace) -> Iterator[int]:
    """Yields the ids in the names of artifact folders, and in the URIs of models that were pushed."""
    for folder in workspace.artifacts.glob("*/*/*"):
        if folder.name.isdecimal():
            yield int(folder.name)
    for serving in (workspace.root / "serving").glob("*"):
        for _, uri in pushed_models(str(serving)):
            name = uri.rpartition("/")[2]
            if name.isdecimal():
                yield int(name)
