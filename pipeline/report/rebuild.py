"""Writes the page of a run again, from what the workspace still holds."""

from __future__ import annotations

import dataclasses

from pipeline.metadata.handle import Metadata
from pipeline.registry.list import model_names
from pipeline.report.page.outcome import PageOutcome
from pipeline.report.page.write import write_page
from pipeline.report.records import report_files
from pipeline.report.result.read import executions_of, read_run
from pipeline.report.run_report import read_report
from pipeline.workspace import Workspace
from transform.errors import InputError


def rebuild(workspace: Workspace, run_id: str | None) -> PageOutcome:
    """Writes the page of a run, and the index of all runs.

    Args:
      workspace: The workspace.
      run_id: The run's name; None takes the run whose report was written last.

    Raises:
      InputError: If there is no such run, or its report cannot be read.
    """
    files = report_files(workspace.reports)
    names = [file.stem for file in files]
    if not names:
        raise InputError(f"a workspace must have the report of a run. Received: none ({workspace.reports})")
    run = names[-1] if run_id is None else run_id
    if run not in names:
        shown = ", ".join(names[-10:])
        raise InputError(f"a run must be one on record, such as {shown}. Received: {run!r} ({workspace.reports})")
    report = read_report(files[names.index(run)])
    connection = workspace.metadata_connection()
    with Metadata(connection) as handle:
        name, executions = executions_of(handle.store, run)
    named = dataclasses.replace(report, pipeline=name or report.pipeline or _only_model(workspace))
    return write_page(workspace, read_run(workspace, connection, run, executions, named))


def _only_model(workspace: Workspace) -> str:
    names = model_names(workspace)
    if len(names) > 1:
        raise InputError(f"ML Metadata must have the run if there are several models: {names} ({workspace.root})")
    return names[0]
