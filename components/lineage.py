"""Walks in ML Metadata from an artifact to what it was made from."""

from __future__ import annotations

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_EVENT = metadata_store_pb2.Event
_ENDED_WELL = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


def producer(store: mlmd.MetadataStore, artifact_id: int) -> int | None:
    """The execution that made an artifact; None if it is not known. Later ones only took it from the cache."""
    events = store.get_events_by_artifact_ids([artifact_id])
    return min((e.execution_id for e in events if e.type == _EVENT.OUTPUT), default=None)


def producer_class(store: mlmd.MetadataStore, artifact_id: int) -> str | None:
    """The name of the class of the component that made an artifact."""
    maker = producer(store, artifact_id)
    if maker is None:
        return None
    (execution,) = store.get_executions_by_id([maker])
    return _class_of(execution)


def was_let_through(store: mlmd.MetadataStore, artifact_id: int, gate: str) -> bool:
    """Whether a gate, the name of its component's class, has read an artifact and come to its end."""
    readers = [e.execution_id for e in store.get_events_by_artifact_ids([artifact_id]) if e.type == _EVENT.INPUT]
    executions = store.get_executions_by_id(readers) if readers else []
    return any(_class_of(e) == gate and e.last_known_state in _ENDED_WELL for e in executions)


def _class_of(execution: metadata_store_pb2.Execution) -> str:
    """The name of the class of an execution's component."""
    return str(execution.type).rpartition(".")[2]


def artifacts_of(store: mlmd.MetadataStore, execution_id: int, *, inputs: bool) -> list[metadata_store_pb2.Artifact]:
    """The artifacts that an execution read, or those that it gave out."""
    wanted = _EVENT.INPUT if inputs else _EVENT.OUTPUT
    events = store.get_events_by_execution_ids([execution_id])
    found: list[metadata_store_pb2.Artifact] = store.get_artifacts_by_id(
        [e.artifact_id for e in events if e.type == wanted]
    )
    return found


def examples_behind(store: mlmd.MetadataStore, artifact_id: int) -> list[metadata_store_pb2.Artifact]:
    """The ingested Examples that an artifact was made from; for a model, through those that were transformed."""
    maker = producer(store, artifact_id)
    if maker is None:
        return []
    found = []
    for source in artifacts_of(store, maker, inputs=True):
        if source.type == "Examples":
            found += [source] if "span" in source.custom_properties else examples_behind(store, source.id)
    return list({artifact.id: artifact for artifact in found}.values())
