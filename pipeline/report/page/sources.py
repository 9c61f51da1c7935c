"""What a run has left in the workspace, from which its page is made."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.data_validation.evidence import SpanEvidence
from components.gate_records import GateRecord, read_record
from components.ingestion.counts import Counts, read_counts
from components.lineage import artifacts_of_pipeline, producer, read_artifacts
from components.model_store.manifest import Manifest
from components.model_store.versions import history, versions
from pipeline.create import DATA_VALIDATION, EXAMPLE_GEN
from pipeline.metadata.handle import Metadata
from pipeline.report.exports.prometheus import RunRecord
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace

#: Earlier statistics are looked for among this many of the newest.
_MAX_STATISTICS = 60

_EXECUTION = metadata_store_pb2.Execution


@dataclasses.dataclass(frozen=True)
class Output:
    """An artifact that a node made, or took from the cache.

    Attributes:
      kind: Its type in ML Metadata.
      uri: Its folder.
      span: The span of its property `span`; None if it has none.
    """

    kind: str
    uri: str
    span: int | None


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of the run.

    Attributes:
      name: Its name.
      state: `done`, `from the cache`, `failed`, `canceled` or `running`.
      started: When it started.
      seconds: How long it took.
      outputs: Its artifacts.
    """

    name: str
    state: str
    started: datetime.datetime
    seconds: float
    outputs: Sequence[Output]


@dataclasses.dataclass(frozen=True)
class RunSources:
    """What a run has left.

    Attributes:
      run_id: The run's name.
      pipeline_name: Its pipeline.
      report: Its report.
      nodes: Its nodes, in the order in which they started.
      earlier_statistics: The statistics of the newest earlier span that has some: the span, and the artifact's folder.
      manifests: The manifests of all versions, by version, oldest first.
      existing: The versions that exist; the last one serves.
      serving_root: The folder of versions.
    """

    run_id: str
    pipeline_name: str
    report: RunReport
    nodes: Sequence[Node]
    earlier_statistics: tuple[int, str] | None
    manifests: Mapping[int, Manifest]
    existing: Sequence[int]
    serving_root: str

    @property
    def seconds(self) -> float:
        """The time from the first node's start to the last node's end."""
        if not self.nodes:
            return 0.0
        first = min(node.started for node in self.nodes)
        return max((node.started - first).total_seconds() + node.seconds for node in self.nodes)

    def absent(self, words: str) -> str:
        """Returns why the report lacks something: `words`, but a failed run's report has nothing that the run made."""
        report = self.report
        where = f" in {report.failed_node}" if report.failed_node else ""
        return words if report.status != "failed" else f"Not in this report: the run failed{where}."

    def outputs(self, node: str, kind: str) -> list[Output]:
        """Returns a node's artifacts of a type whose folders exist."""
        found = [output for n in self.nodes if n.name == node for output in n.outputs if output.kind == kind]
        return [output for output in found if os.path.isdir(output.uri)]

    def uri(self, node: str, kind: str) -> str | None:
        """Returns the folder of a node's artifact; None if there is none, or it was removed."""
        found = self.outputs(node, kind)
        return found[0].uri if found else None

    def counts(self) -> Counts:
        """Returns the row counts; of a run that was stopped they are read from the ingestion's artifact."""
        if self.report.counts.read:
            return self.report.counts
        uri = self.uri(EXAMPLE_GEN, "Quarantine")
        return read_counts(uri) if uri else self.report.counts

    def data_record(self) -> GateRecord | None:
        """Returns the record of the gate on data; None if the run did not come to it."""
        uri = self.uri(DATA_VALIDATION, "GateRecord")
        return read_record(uri) if uri else None

    def earlier_evidence(self, most: int) -> list[SpanEvidence]:
        """Returns the measurements of the newest earlier spans, the oldest first."""
        outputs = sorted(self.outputs("earlier_records", "GateRecord"), key=lambda output: output.span or 0)
        return [SpanEvidence.from_inputs(read_record(output.uri).inputs) for output in outputs[-most:]]


def read_sources(workspace: Workspace, connection: metadata_store_pb2.ConnectionConfig, ended: RunRecord) -> RunSources:
    """Reads what a run has left in ML Metadata and the serving folder; artifacts are read when a section needs them."""
    root = str(workspace.serving(ended.pipeline_name))
    with Metadata(connection) as handle:
        nodes = sorted(_nodes(handle.store, ended.executions), key=lambda node: node.started)
        statistics = _earlier_statistics(handle.store, ended.pipeline_name, ended.report.span, nodes)
    return RunSources(
        ended.run_id, ended.pipeline_name, ended.report, nodes, statistics, history(root), versions(root), root
    )


def _nodes(store: mlmd.MetadataStore, executions: Mapping[str, int]) -> Iterator[Node]:
    found = {e.id: e for e in store.get_executions_by_id(list(executions.values()))} if executions else {}
    for name, id_ in executions.items():
        execution = found[id_]
        milliseconds = execution.last_update_time_since_epoch - execution.create_time_since_epoch
        yield Node(
            name=name,
            state=_STATES.get(execution.last_known_state, "running"),
            started=datetime.datetime.fromtimestamp(execution.create_time_since_epoch / 1000, datetime.UTC),
            seconds=milliseconds / 1000,
            outputs=[_output(a) for a in _made(store, id_)],
        )


_STATES = {
    _EXECUTION.COMPLETE: "done",
    _EXECUTION.CACHED: "from the cache",
    _EXECUTION.FAILED: "failed",
    _EXECUTION.CANCELED: "canceled",
}


def _made(store: mlmd.MetadataStore, execution_id: int) -> list[metadata_store_pb2.Artifact]:
    """Returns an execution's outputs, those of a resolver too."""
    kinds = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    events = store.get_events_by_execution_ids([execution_id])
    ids = [event.artifact_id for event in events if event.type in kinds]
    found: list[metadata_store_pb2.Artifact] = store.get_artifacts_by_id(ids) if ids else []
    return found


def _output(artifact: metadata_store_pb2.Artifact) -> Output:
    span = artifact.custom_properties["span"].int_value if "span" in artifact.custom_properties else None
    return Output(artifact.type, artifact.uri, span)


def _earlier_statistics(
    store: mlmd.MetadataStore, pipeline_name: str, span: int, nodes: Sequence[Node]
) -> tuple[int, str] | None:
    """Finds the statistics of the newest span before the run's, among those that are older than the run's own."""
    own = {output.uri for node in nodes for output in node.outputs}
    artifacts = artifacts_of_pipeline(store, pipeline_name)
    newest = sorted((a for a in artifacts if a.type == "ExampleStatistics"), key=lambda a: -a.id)
    found: dict[int, str] = {}
    for artifact in newest[:_MAX_STATISTICS]:
        made_by = producer(store, artifact.id)
        if artifact.uri in own or made_by is None or not os.path.isdir(artifact.uri):
            continue
        spans = [o.span for o in map(_output, read_artifacts(store, made_by, inputs=True)) if o.span is not None]
        if spans and max(spans) < span:
            found.setdefault(max(spans), artifact.uri)
            if max(found) == span - 1:
                break
    return (max(found), found[max(found)]) if found else None
