"""Walks in ML Metadata from an artifact to what it was made from, and to the gates that have read it."""

from __future__ import annotations

from collections.abc import Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

#: Custom properties of a GateVerdict: what a person accepted, why and who it was; empty where nothing was to accept.
ACCEPTED, ACCEPT_REASON, ACCEPTED_BY = "accepted", "accept_reason", "accepted_by"

_EVENT = metadata_store_pb2.Event
_ENDED_WELL = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


def producer(store: mlmd.MetadataStore, artifact_id: int) -> int | None:
    """The execution that made an artifact; None if it is not known. Later ones only took it from the cache."""
    events = store.get_events_by_artifact_ids([artifact_id])
    return min((e.execution_id for e in events if e.type == _EVENT.OUTPUT), default=None)


def producer_type(store: mlmd.MetadataStore, artifact_id: int) -> str | None:
    """The type of the execution that made an artifact; None if it is not known."""
    maker = producer(store, artifact_id)
    if maker is None:
        return None
    (execution,) = store.get_executions_by_id([maker])
    return str(execution.type)


def ended_well(execution: metadata_store_pb2.Execution) -> bool:
    """Whether an execution has come to its end, or was taken from the cache."""
    return execution.last_known_state in _ENDED_WELL


def was_let_through(store: mlmd.MetadataStore, artifact_id: int, gate: str) -> bool:
    """Whether a gate, the type of its executions, has read an artifact and come to its end."""
    return any(e.type == gate and ended_well(e) for e in _readers(store, [artifact_id]))


def was_stopped(store: mlmd.MetadataStore, examples_ids: Sequence[int], gates: Sequence[str]) -> bool:
    """Whether one of some gates stopped the run on the rows of Examples, and has let none through.

    The Examples are those of the same rows, however often they were ingested. A gate that was killed, and whose run did
    not go on, has not come to its end either. A span that a person accepted is let through.

    Where a gate has not read them at all, as of a span that was ingested for a later one's window, it stopped nothing.
    """
    readers = _readers(store, _judged(store, examples_ids))
    ends = [[ended_well(e) for e in readers if e.type == gate] for gate in gates]
    return any(of_gate and not any(of_gate) for of_gate in ends)


def accepted_stops(store: mlmd.MetadataStore, examples_ids: Sequence[int]) -> dict[str, str]:
    """What a person accepted of some Examples that gates on data would have stopped: the reason, by what was found."""
    found = {}
    for gate in _readers(store, _judged(store, examples_ids)):
        for verdict in artifacts_of(store, gate.id, inputs=False):
            if reason := verdict.custom_properties[ACCEPT_REASON].string_value:
                found[verdict.custom_properties[ACCEPTED].string_value] = reason
    return found


def _judged(store: mlmd.MetadataStore, examples_ids: Sequence[int]) -> list[int]:
    """What gates on data read of Examples: themselves, their statistics, and what was found in either."""
    statistics = _made_from(store, examples_ids, "ExampleStatistics")
    found = [*examples_ids, *statistics]
    return [*found, *_made_from(store, found, "ExampleAnomalies", "GateRecord")]


def _readers(store: mlmd.MetadataStore, artifact_ids: Sequence[int]) -> list[metadata_store_pb2.Execution]:
    """The executions that read one of some artifacts."""
    events = store.get_events_by_artifact_ids(artifact_ids) if artifact_ids else []
    ids = {e.execution_id for e in events if e.type == _EVENT.INPUT}
    found: list[metadata_store_pb2.Execution] = store.get_executions_by_id(ids) if ids else []
    return found


def _made_from(store: mlmd.MetadataStore, artifact_ids: Sequence[int], *kinds: str) -> list[int]:
    """The artifacts of some types that were made from some artifacts directly."""
    readers = [e.id for e in _readers(store, artifact_ids)]
    events = store.get_events_by_execution_ids(readers) if readers else []
    outputs = {e.artifact_id for e in events if e.type == _EVENT.OUTPUT}
    return [a.id for a in store.get_artifacts_by_id(outputs) if a.type in kinds] if outputs else []


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


def last_span(store: mlmd.MetadataStore, artifact_id: int) -> int:
    """The last span whose examples an artifact was made from; -1 if none is known."""
    return max((e.custom_properties["span"].int_value for e in examples_behind(store, artifact_id)), default=-1)
