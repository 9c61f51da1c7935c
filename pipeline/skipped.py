"""The record of a span that was skipped, since its data was not fit; the next one builds on the last good one."""

from __future__ import annotations

import json

from components import storage
from pipeline.workspace import Workspace


def write_skipped(workspace: Workspace, run_id: str, span: int, node: str, reason: str) -> None:
    """Writes a run's report that tells of nothing but what stopped it.

    Args:
      workspace: The run's.
      run_id: The run's name.
      span: The span.
      node: The gate.
      reason: Its sentence.
    """
    report = {"span": span, "skipped_by": node, "reason": reason}
    storage.write_text(str(workspace.reports / f"{run_id}.json"), json.dumps(report, indent=2))
