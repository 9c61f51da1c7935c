"""The trackers of runs that the environment names; that one does not get a run never makes the run fail."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping

from absl import logging

from pipeline.addresses import hidden_mistake, logged_without_credentials, without_credentials
from pipeline.errors import first_line, sentence
from pipeline.report.exports import mlflow_tracking, openlineage
from pipeline.report.result.run import Run
from pipeline.workspace import Workspace
from transform.errors import UserError

OPENLINEAGE, MLFLOW = "OpenLineage", "MLflow"

#: By tracker, the variables that may hold its address.
_ADDRESSES = {
    OPENLINEAGE: ("OPENLINEAGE_URL", "OPENLINEAGE__TRANSPORT__URL"),
    MLFLOW: (mlflow_tracking.TRACKING_URI,),
}


def track(workspace: Workspace, run: Run) -> Mapping[str, str]:
    """Sends a run that has ended to each tracker that the environment names.

    Args:
      workspace: The run's workspace, which has its report and its pages.
      run: The run.

    Returns:
      By tracker, why it did not get the run: a line without credentials. Nothing of the others.
    """
    senders: dict[str, Callable[[], None]] = {}
    if openlineage.is_asked_for():
        senders[OPENLINEAGE] = lambda: openlineage.send_lineage(run)
    if os.environ.get(mlflow_tracking.TRACKING_URI):
        senders[MLFLOW] = lambda: mlflow_tracking.send_run(workspace, run)
    problems = {name: _problem(name, send) for name, send in senders.items()}
    for name, problem in problems.items():
        if problem:
            logging.error("the run %s was not sent to %s: %s", run.run_id, name, problem)
    return {name: problem for name, problem in problems.items() if problem}


def _problem(tracker: str, send: Callable[[], None]) -> str:
    """Sends a run; returns why it was not sent, and logs the traceback, or an empty text."""
    for variable in _ADDRESSES[tracker]:
        if mistake := hidden_mistake(variable, os.environ.get(variable, "")):
            return mistake
    try:
        with logged_without_credentials():
            send()
    except Exception as error:  # the server may be unreachable, and its transport may raise any exception
        logging.info("%s", without_credentials(traceback.format_exc()))
        return sentence(error) if isinstance(error, UserError) else first_line(error)
    return ""
