"""Writes the outputs of an ended run: its report, the metrics for monitoring, and the lineage for a data catalog."""

from __future__ import annotations

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.model_store.versions import history, newest_span
from pipeline.report.openlineage import send_lineage
from pipeline.report.prometheus import RunRecord, write_run_metrics
from pipeline.workspace import Workspace


def write_report(workspace: Workspace, connection: metadata_store_pb2.ConnectionConfig, ended: RunRecord) -> Path:
    """Writes a run's report and metrics, and sends its lineage.

    A run of a past span, repeated while the model of a later span serves, does not overwrite the metrics.

    Args:
      workspace: The run's workspace.
      connection: The connection to ML Metadata.
      ended: The run.

    Returns:
      The path of the report.
    """
    file = workspace.reports / f"{ended.run_id}.json"
    storage.write_text(str(file), ended.report.to_json())
    served = newest_span(history(str(workspace.serving(ended.pipeline_name))))
    if served is None or ended.report.span >= served:
        write_run_metrics(workspace, connection, ended)
    send_lineage(connection, ended.pipeline_name, ended.run_id, ended.executions)
    return file
