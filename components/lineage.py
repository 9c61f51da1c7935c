"""Lineage queries in ML Metadata: from an artifact to its inputs, and to the gates that have read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.artifacts import INPUT_FINGERPRINT, LATE, SPAN_FINGERPRINT

#: Custom properties of a GateVerdict: what a person accepted, why, and who; empty if there was nothing to accept.
ACCEPTED, ACCEPT_REASON, ACCEPTED_BY = "accepted", "accept_reason", "accepted_by"

#: A custom property of a PushedModel: why the push itself refused the model, forced or not.
REFUSAL = "refusal"

#: The parameter, and the custom property of a PushedModel: why a model was pushed although a gate refused it.
FORCE_REASON = "force_reason"

#: A custom property of a PushedModel: a remark about the version; empty for an ordinary push.
NOTE = "note"

_EVENT = metadata_store_pb2.Event
_ENDED_WELL = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


def producer(store: mlmd.MetadataStore, artifact_id: int) -> int | None:
    """Returns the execution that made an artifact, not one that reused it from the cache; None if it is unknown."""
    events = store.get_events_by_artifact_ids([artifact_id])
    return min((e.execution_id for e in events if e.type == _EVENT.OUTPUT), default=None)


def producer_type(store: mlmd.MetadataStore, artifact_id: int) -> str | None:
    """Returns the type of the execution that made an artifact; None if it is unknown."""
    maker = producer(store, artifact_id)
    if maker is None:
        return None
    (execution,) = store.get_executions_by_id([maker])
    return str(execution.type)


def ended_well(execution: metadata_store_pb2.Execution) -> bool:
    """Returns whether an execution completed, or was taken from the cache."""
    return execution.last_known_state in _ENDED_WELL


def are_same_rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two Examples, given by their custom properties, are of the same rows, by any recipe.

    They are of one span and its same files. A table that all spans share may have been rewritten.
    """
    if one["span"].int_value != other["span"].int_value:
        return False
    known = (name for name in (INPUT_FINGERPRINT, SPAN_FINGERPRINT) if name in one and name in other)
    return any(one[name].string_value == other[name].string_value for name in known)


def ingested_examples(store: mlmd.MetadataStore, beside: int) -> list[metadata_store_pb2.Artifact]:
    """Returns all Examples that the pipeline of an artifact has ingested, also those whose files were removed.

    Garbage collection removes old files. What gates and persons have decided on the rows holds for as long as the rows
    can be ingested again.

    Args:
      store: ML Metadata.
      beside: The id of the artifact.
    """
    pipelines = [context.id for context in store.get_contexts_by_artifact(beside) if context.type == "pipeline"]
    artifacts = [artifact for pipeline in pipelines for artifact in store.get_artifacts_by_context(pipeline)]
    return [artifact for artifact in artifacts if _is_ingested(artifact)]


def artifacts_of_pipeline(store: mlmd.MetadataStore, pipeline: str) -> list[metadata_store_pb2.Artifact]:
    """Returns all artifacts of a pipeline, given by its name; none if ML Metadata has no such pipeline."""
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    return [] if context is None else list(store.get_artifacts_by_context(context.id))


def kept_examples(store: mlmd.MetadataStore, pipeline: str) -> list[metadata_store_pb2.Artifact]:
    """Returns the Examples that a pipeline, given by its name, has ingested, and whose files are kept."""
    found = artifacts_of_pipeline(store, pipeline)
    return [a for a in found if _is_ingested(a) and a.state == metadata_store_pb2.Artifact.LIVE]


def select_same_rows(
    examples: metadata_store_pb2.Artifact, ingested: Iterable[metadata_store_pb2.Artifact]
) -> list[metadata_store_pb2.Artifact]:
    """Returns those of ingested Examples that are given Examples or have the same rows (`are_same_rows`)."""
    own = examples.custom_properties
    return [a for a in ingested if a.id == examples.id or are_same_rows(a.custom_properties, own)]


def _is_ingested(artifact: metadata_store_pb2.Artifact) -> bool:
    """Returns whether an artifact is an ingestion's Examples, not Transform's output or a completed tail."""
    properties = artifact.custom_properties
    return artifact.type == "Examples" and "span" in properties and LATE not in properties


def read_finding(unfit: str) -> str:
    """Returns what ingestion found unfit, from `UNFIT`.

    In release 0.2.0 and before, it named the ingestion's quarantine, too.
    """
    return unfit.partition("; they are in ")[0]


def was_let_through(store: mlmd.MetadataStore, artifact_id: int, gate: str) -> bool:
    """Returns whether a gate, given as the type of its executions, has read an artifact and completed."""
    return any(e.type == gate and ended_well(e) for e in _readers(store, [artifact_id]))


def was_stopped(store: mlmd.MetadataStore, examples_ids: Sequence[int], gates: Sequence[str]) -> bool:
    """Returns whether at least one gate stopped a run on the rows of Examples and never let those rows through.

    A gate that was killed, and whose run did not continue, counts as a stop too. A span that a person accepted was let
    through. A gate that has not read the Examples at all, as for a span that was ingested only for the window of a
    later span, has not stopped it.

    Args:
      store: ML Metadata.
      examples_ids: The ids of all Examples of the same rows, from every ingestion.
      gates: The types of the gates' executions.
    """
    readers = _readers(store, _judged(store, examples_ids))
    ends = [[ended_well(e) for e in readers if e.type == gate] for gate in gates]
    return any(of_gate and not any(of_gate) for of_gate in ends)


def accepted_stops(store: mlmd.MetadataStore, examples_ids: Sequence[int]) -> dict[str, tuple[str, str]]:
    """Returns what a person accepted of Examples that data gates would have stopped: reason and person, by finding."""
    found = {}
    for gate in _readers(store, _judged(store, examples_ids)):
        for verdict in read_artifacts(store, gate.id, inputs=False):
            if reason := verdict.custom_properties[ACCEPT_REASON].string_value:
                of_person = (reason, verdict.custom_properties[ACCEPTED_BY].string_value)
                found[verdict.custom_properties[ACCEPTED].string_value] = of_person
    return found


def _judged(store: mlmd.MetadataStore, examples_ids: Sequence[int]) -> list[int]:
    """Returns the ids of what data gates read: the Examples, their statistics, and anomalies and records of either."""
    statistics = _made_from(store, examples_ids, "ExampleStatistics")
    found = [*examples_ids, *statistics]
    return [*found, *_made_from(store, found, "ExampleAnomalies", "GateRecord")]


def _readers(store: mlmd.MetadataStore, artifact_ids: Sequence[int]) -> list[metadata_store_pb2.Execution]:
    """Returns the executions that read at least one of the artifacts."""
    events = store.get_events_by_artifact_ids(artifact_ids) if artifact_ids else []
    ids = {e.execution_id for e in events if e.type == _EVENT.INPUT}
    found: list[metadata_store_pb2.Execution] = store.get_executions_by_id(ids) if ids else []
    return found


def _made_from(store: mlmd.MetadataStore, artifact_ids: Sequence[int], *kinds: str) -> list[int]:
    """Returns the ids of artifacts, of the given types, that were made directly from the given artifacts."""
    readers = [e.id for e in _readers(store, artifact_ids)]
    events = store.get_events_by_execution_ids(readers) if readers else []
    outputs = {e.artifact_id for e in events if e.type == _EVENT.OUTPUT}
    return [a.id for a in store.get_artifacts_by_id(outputs) if a.type in kinds] if outputs else []


def read_artifacts(store: mlmd.MetadataStore, execution_id: int, *, inputs: bool) -> list[metadata_store_pb2.Artifact]:
    """Returns the input artifacts of an execution, or its output artifacts."""
    requested = _EVENT.INPUT if inputs else _EVENT.OUTPUT
    events = store.get_events_by_execution_ids([execution_id])
    found: list[metadata_store_pb2.Artifact] = store.get_artifacts_by_id(
        [e.artifact_id for e in events if e.type == requested]
    )
    return found


def examples_behind(store: mlmd.MetadataStore, artifact_id: int) -> list[metadata_store_pb2.Artifact]:
    """Returns the ingested Examples that an artifact was made from.

    For a model, they are found by way of the transformed Examples; for a completed tail, they are those of its span and
    of the span that completed it.
    """
    maker = producer(store, artifact_id)
    if maker is None:
        return []
    found = []
    for source in read_artifacts(store, maker, inputs=True):
        if source.type == "Examples":
            found += [source] if _is_ingested(source) else examples_behind(store, source.id)
    return list({artifact.id: artifact for artifact in found}.values())


def find_last_span_before(store: mlmd.MetadataStore, artifacts: Iterable[Any], span: int) -> Any | None:
    """Returns, of some artifacts, the one of the last span before a span, and of several of them the last one.

    The newest are asked first, so that an ordinary run asks ML Metadata about few. A backfill makes artifacts of older
    spans after those of later ones. None if there is no artifact of an earlier span.
    """
    found, found_span = None, -1
    for artifact in sorted(artifacts, key=lambda artifact: artifact.id, reverse=True):
        of_artifact = last_span(store, artifact.id)
        if found_span < of_artifact < span:
            found, found_span = artifact, of_artifact
        if found_span == span - 1:  # no later span can follow
            break
    return found


def last_span(store: mlmd.MetadataStore, artifact_id: int) -> int:
    """Returns the last span whose examples an artifact was made from; -1 if none is known."""
    return max((e.custom_properties["span"].int_value for e in examples_behind(store, artifact_id)), default=-1)
