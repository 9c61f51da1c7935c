"""Writes the outputs of an ended run: its report, the metrics for monitoring, and the lineage for a data catalog."""

from __future__ import annotations

import json
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.model_store.versions import newest_span
from pipeline.report.openlineage import send_lineage
from pipeline.report.prometheus import RunRecord, write_run_metrics
from pipeline.workspace import Workspace


def write_report(
    workspace: Workspace, connection: metadata_store_pb2.ConnectionConfig, run_id: str, ended: RunRecord
) -> Path:
    """Writes a run's report and metrics, and sends its lineage.

    A run of a past span, repeated while the model of a later span serves, does not overwrite the metrics.

    Args:
      workspace: The run's workspace.
      connection: The connection to ML Metadata.
      run_id: The run's name.
      ended: The run.

    Returns:
      The path of the report.
    """
    report = workspace.reports / f"{run_id}.json"
    if ended.run_result is None:
        text = json.dumps({"span": ended.span, "skipped_by": ended.skipped_by, "reason": ended.reason}, indent=2)
    else:
        text = ended.run_result.to_json()
    storage.write_text(str(report), text)
    served = newest_span(str(workspace.serving(ended.pipeline_name)))
    if served is None or ended.span >= served:
        write_run_metrics(workspace, connection, ended)
    send_lineage(connection, ended.pipeline_name, run_id, ended.executions)
    return report
