"""Prometheus metrics of a run: a file in the text format, for the node exporter's textfile collector."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from ml_metadata.proto import metadata_store_pb2
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from components.model_store.identity import is_same_model
from components.model_store.versions import history, versions
from pipeline.metadata.handle import Metadata
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run that has ended.

    Attributes:
      pipeline_name: Its pipeline.
      run_id: Its name.
      executions: By node, its execution in ML Metadata.
      report: Its report.
    """

    pipeline_name: str
    run_id: str
    executions: Mapping[str, int]
    report: RunReport


def write_run_metrics(
    workspace: Workspace,
    connection: metadata_store_pb2.ConnectionConfig,
    ended: RunRecord,
    *,
    num_page_problems: int,
) -> None:
    """Writes the metrics of a pipeline's last run, replacing those of the run before.

    Args:
      workspace: The run's workspace.
      connection: The connection to ML Metadata.
      ended: The run.
      num_page_problems: The number of problems in writing its page.
    """
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, ("pipeline", *labels), registry=registry)

    name, report = ended.pipeline_name, ended.report
    last = gauge("wdr_last_run_timestamp_seconds", "When the last run ended.", "result")
    last.labels(name, report.status).set_to_current_time()
    gauge("wdr_last_run_span", "The last run's span.").labels(name).set(report.span)
    words = "Problems in writing the last run's page, which is missing or incomplete if there are any."
    gauge("wdr_report_page_problems", words).labels(name).set(num_page_problems)
    took = gauge("wdr_node_seconds", "How long each node of the last run took; a cached one, nothing.", "node")
    for node, duration in _durations(connection, ended.executions).items():
        took.labels(name, node).set(duration)
    root = str(workspace.serving(name))
    if found := versions(root):
        gauge("wdr_served_version", "The version that serves.").labels(name).set(found[-1])
        if (when := _first_pushed(root)) is not None:
            words = "When its model was first pushed; a rollback makes no model younger."
            gauge("wdr_served_model_pushed_timestamp_seconds", words).labels(name).set(when)
    if report.status in ("pushed", "refused"):
        rows = gauge("wdr_rows", "Rows of the last run's span.", "source", "state")
        for source, number in report.counts.read.items():
            rows.labels(name, source, "read").set(number)
            rows.labels(name, source, "rejected").set(sum(report.counts.rejected.get(source, {}).values()))
        value = gauge("wdr_metric", "The last run's evaluation.", "metric", "model")
        for model, metrics in (("candidate", report.metrics), ("serving", report.baseline)):
            for metric, measured in metrics.items():
                value.labels(name, metric, model).set(measured)
    workspace.metrics.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(workspace.metrics / f"{name}.prom"), registry)


def _first_pushed(root: str) -> float | None:
    """Returns when the serving model was first pushed, in seconds since 1970; None if no manifest has the time."""
    manifests = list(history(root).values())
    pushes = [m.pushed_at for m in manifests if is_same_model(m, manifests[-1]) and m.pushed_at is not None]
    return min((datetime.datetime.fromisoformat(at).timestamp() for at in pushes), default=None)


def _durations(connection: metadata_store_pb2.ConnectionConfig, executions: Mapping[str, int]) -> dict[str, float]:
    with Metadata(connection) as handle:
        found = {e.id: e for e in handle.store.get_executions_by_id(list(executions.values()))}
    return {
        node: (found[id_].last_update_time_since_epoch - found[id_].create_time_since_epoch) / 1000
        for node, id_ in executions.items()
    }
