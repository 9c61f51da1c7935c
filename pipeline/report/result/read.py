"""Reads a run's result from ML Metadata, the run's artifacts and the serving folder."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from pydantic import TypeAdapter

from components.artifacts import FILES
from components.data_validation.evidence import SpanEvidence
from components.evaluation.results import EvaluationResult
from components.gate_records import GateRecord, read_record
from components.ingestion.counts import Counts, read_counts
from components.lineage import artifacts_of_pipeline, producer, read_artifacts
from components.model_store.versions import history, versions
from components.quality_gate.inputs import QualityInputs
from pipeline.nodes.names import DATA_VALIDATION, EXAMPLE_GEN, QUALITY_GATE
from pipeline.registry.diff import NONE, config_values
from pipeline.registry.record import files_of
from pipeline.report.records import Record, read_neighbours
from pipeline.report.result.run import Contents, Node, Output, Reading, Run
from pipeline.report.result.scores import Histogram, read_histograms
from pipeline.report.result.statistics import Statistics, read_statistics
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from transform.config.component_settings import QualitySettings
from transform.config.drift import Drift
from transform.config.evaluation import Evaluation

#: Earlier statistics are looked for among this many of the newest.
_MAX_STATISTICS = 60

_DRIFT = TypeAdapter(Drift)

_EXECUTION, _EVENT = metadata_store_pb2.Execution, metadata_store_pb2.Event

_OUTPUTS = (_EVENT.OUTPUT, _EVENT.INTERNAL_OUTPUT)

_NOTHING: Reading[tuple[int, str] | None] = Reading()

_STATES = {
    _EXECUTION.COMPLETE: "done",
    _EXECUTION.CACHED: "from the cache",
    _EXECUTION.FAILED: "failed",
    _EXECUTION.CANCELED: "canceled",
}


def read_run(
    workspace: Workspace,
    connection: metadata_store_pb2.ConnectionConfig,
    run_id: str,
    executions: Mapping[str, int],
    report: RunReport,
) -> Run:
    """Reads the result of a run that has ended.

    Args:
      workspace: The run's workspace.
      connection: The connection to ML Metadata.
      run_id: The run's name.
      executions: By node, its execution in ML Metadata.
      report: The run's report, which names its pipeline.
    """
    from pipeline.metadata.handle import Metadata  # takes 4 s, which those that only read contents should not

    name, root = report.pipeline, str(workspace.serving(report.pipeline))
    near = read_neighbours(workspace.reports, run_id, name)
    with Metadata(connection) as handle:
        nodes = sorted(_nodes(handle.store, executions), key=lambda node: node.started)
        earlier = Reading.of(lambda: _earlier_statistics(handle.store, name, report.span, nodes))
        config_changes = Reading.of(lambda: _config_changes(handle.store, executions, near.trained))
    contents = read_contents(report, nodes, earlier)
    place = str(workspace.root)
    return Run(run_id, name, report, nodes, contents, history(root), versions(root), near, config_changes, place)


def executions_of(store: mlmd.MetadataStore, run_id: str) -> tuple[str, dict[str, int]]:
    """Returns a run's pipeline and, by node, its last execution; empty if ML Metadata does not have the run."""
    name, found = "", {}
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = store.get_executions_by_context(context.id) if context else []
    for execution in sorted(executions, key=lambda execution: execution.id):  # of a node run again, the last one
        named = {c.type: c.name for c in store.get_contexts_by_execution(execution.id)}
        name = named["pipeline"]
        found[named["node"].removeprefix(f"{name}.")] = execution.id
    return name, found


def _config_changes(
    store: mlmd.MetadataStore, executions: Mapping[str, int], before: Record | None
) -> Mapping[str, tuple[str, str]] | None:
    """Returns `Run.config_changes`, from the configs of both runs' pushes."""
    of_before = executions_of(store, before.run_id)[1] if before else {}
    if "push" not in executions or "push" not in of_before:
        return None
    one, other = (store.get_executions_by_id([of_run["push"]])[0] for of_run in (of_before, executions))
    first, second = (config_values(e.custom_properties["config"].string_value) for e in (one, other))
    return {
        key: (first.get(key, NONE), second.get(key, NONE))
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    }


def _nodes(store: mlmd.MetadataStore, executions: Mapping[str, int]) -> Iterator[Node]:
    ids = list(executions.values())
    found = {e.id: e for e in store.get_executions_by_id(ids)} if ids else {}
    events = store.get_events_by_execution_ids(ids) if ids else []
    artifacts = {a.id: a for a in store.get_artifacts_by_id({e.artifact_id for e in events})} if events else {}
    for name, id_ in executions.items():
        execution = found[id_]
        own = sorted({(event.artifact_id, event.type) for event in events if event.execution_id == id_})
        logs = files_of(execution).values() if FILES in execution.custom_properties else ()
        milliseconds = execution.last_update_time_since_epoch - execution.create_time_since_epoch
        yield Node(
            name=name,
            state=_STATES.get(execution.last_known_state, "running"),
            started=datetime.datetime.fromtimestamp(execution.create_time_since_epoch / 1000, datetime.UTC),
            seconds=milliseconds / 1000,
            outputs=[_output(artifacts[artifact], kind) for artifact, kind in own if kind in _OUTPUTS],
            read=[artifacts[artifact].uri for artifact, kind in own if kind == _EVENT.INPUT]
            + [path for paths in logs for path in paths],
            settings=_text(execution, "config" if name == QUALITY_GATE else "settings"),
        )


def _text(execution: metadata_store_pb2.Execution, name: str) -> str:
    """Returns a parameter of an execution that is a text; empty if it has none."""
    text: str = execution.custom_properties[name].string_value if name in execution.custom_properties else ""
    return text


def _output(artifact: metadata_store_pb2.Artifact, event: int = _EVENT.OUTPUT) -> Output:
    span = artifact.custom_properties["span"].int_value if "span" in artifact.custom_properties else None
    return Output(artifact.type, artifact.uri, span, event == _EVENT.INTERNAL_OUTPUT)


def _earlier_statistics(
    store: mlmd.MetadataStore, pipeline_name: str, span: int, nodes: Sequence[Node]
) -> tuple[int, str] | None:
    """Finds the statistics of the newest span before the run's, among those that are older than the run's own.

    Returns:
      The span, and the artifact's folder; None if there are none.
    """
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


@dataclasses.dataclass(frozen=True)
class _Artifacts:
    """The artifacts of a run whose folders exist, and how each is read.

    Attributes:
      report: The run's report.
      nodes: The run's nodes.
      earlier: The newest earlier span that has statistics, and their folder.
    """

    report: RunReport
    nodes: Sequence[Node]
    earlier: Reading[tuple[int, str] | None]

    def counts(self) -> Counts:
        """Those of a run that was stopped are in the ingestion's artifact."""
        uri = None if self.report.counts.read else self._uri(EXAMPLE_GEN, "Quarantine")
        return read_counts(uri) if uri else self.report.counts

    def data_record(self) -> GateRecord | None:
        return self._record(DATA_VALIDATION)

    def evidence(self) -> SpanEvidence | None:
        record = self.data_record()
        return SpanEvidence.from_inputs(record.inputs) if record else None

    def drift(self) -> Drift | None:
        settings = next((node.settings for node in self.nodes if node.name == DATA_VALIDATION), "")
        return _DRIFT.validate_json(settings) if settings else None

    def earlier_evidence(self) -> Sequence[SpanEvidence]:
        num_spans = (self.drift() or Drift()).reference_spans
        outputs = sorted(self._outputs("earlier_records", "GateRecord"), key=lambda output: output.span or 0)
        return [SpanEvidence.from_inputs(read_record(output.uri).inputs) for output in outputs[-num_spans:]]

    def statistics(self) -> Statistics | None:
        uri = self._uri("statistics_gen", "ExampleStatistics")
        return read_statistics(uri) if uri else None

    def earlier_statistics(self) -> tuple[int, Statistics] | None:
        found = self.earlier.get()
        return (found[0], read_statistics(found[1])) if found else None

    def measured(self) -> EvaluationResult | None:
        record = self._record(QUALITY_GATE) if self.report.metrics else None
        return QualityInputs.from_json(record.inputs).whole if record else None

    def evaluation(self) -> Evaluation | None:
        settings = next((node.settings for node in self.nodes if node.name == QUALITY_GATE), "")
        return QualitySettings.from_json(settings).evaluation if settings else None

    def histograms(self) -> Mapping[str, Histogram]:
        uri = self._uri("evaluator", "ModelEvaluation")
        return read_histograms(uri) if uri and self.report.metrics else {}

    def _outputs(self, node: str, kind: str) -> list[Output]:
        found = [output for n in self.nodes if n.name == node for output in n.outputs if output.kind == kind]
        return [output for output in found if os.path.isdir(output.uri)]

    def _uri(self, node: str, kind: str) -> str | None:
        found = self._outputs(node, kind)
        return found[0].uri if found else None

    def _record(self, node: str) -> GateRecord | None:
        uri = self._uri(node, "GateRecord")
        return read_record(uri) if uri else None


def read_contents(
    report: RunReport, nodes: Sequence[Node], earlier: Reading[tuple[int, str] | None] = _NOTHING
) -> Contents:
    """Reads what the artifacts of a run's nodes hold; `earlier` is the newest span before that has statistics."""
    found = _Artifacts(report, nodes, earlier)
    return Contents(**{field.name: Reading.of(getattr(found, field.name)) for field in dataclasses.fields(Contents)})
