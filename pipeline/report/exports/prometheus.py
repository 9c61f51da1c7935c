"""Prometheus metrics of a run: a file in the text format, for the node exporter's textfile collector."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from components.model_store.identity import is_same_model
from components.model_store.manifest import Manifest
from pipeline.report.result.run import Run
from pipeline.workspace import Workspace


def write_run_metrics(workspace: Workspace, run: Run, *, num_page_problems: int) -> None:
    """Writes the metrics of a pipeline's last run, replacing those of the run before.

    Args:
      workspace: The run's workspace.
      run: The run.
      num_page_problems: The number of problems in writing its page.
    """
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, ("pipeline", *labels), registry=registry)

    name, report = run.pipeline_name, run.report
    last = gauge("wdr_last_run_timestamp_seconds", "When the last run ended.", "result")
    last.labels(name, report.status).set_to_current_time()
    gauge("wdr_last_run_span", "The last run's span.").labels(name).set(report.span)
    words = "Problems in writing the last run's page, which is missing or incomplete if there are any."
    gauge("wdr_report_page_problems", words).labels(name).set(num_page_problems)
    took = gauge("wdr_node_seconds", "How long each node of the last run took; a cached one, nothing.", "node")
    for node in run.nodes:
        took.labels(name, node.name).set(node.seconds)
    if run.existing:
        gauge("wdr_served_version", "The version that serves.").labels(name).set(run.existing[-1])
        if (when := _first_pushed(list(run.manifests.values()))) is not None:
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


def _first_pushed(manifests: Sequence[Manifest]) -> float | None:
    """Returns when the baseline was first pushed, in seconds since 1970; None if no manifest has the time."""
    pushes = [m.pushed_at for m in manifests if is_same_model(m, manifests[-1]) and m.pushed_at is not None]
    return min((datetime.datetime.fromisoformat(at).timestamp() for at in pushes), default=None)
