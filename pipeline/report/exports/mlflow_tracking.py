"""A run in MLflow: its metrics by epoch and at its end, its report, its page and its model card.

MLflow's own client sends them, and only if MLflow is installed (`pip install 'wide-deep-ranker[mlflow]'`) and its
variable `MLFLOW_TRACKING_URI` is set. Its other variables apply too: `MLFLOW_EXPERIMENT_NAME` names the experiment,
which else has the pipeline's name.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.report.page.outcome import card_path, page_path
from pipeline.report.result.run import Run as EndedRun
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from transform.errors import InputError

if TYPE_CHECKING:  # MLflow is imported where it is used: a run without it does not wait for the import
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

#: The variables that name the tracking server and the experiment.
TRACKING_URI, EXPERIMENT_NAME = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"

#: The schemes that the extra's client, mlflow-skinny, takes; a database it leaves to the whole of MLflow.
_SCHEMES = ("http", "https", "databricks", "databricks-uc", "uc")

#: The tag by which a run is found again: a report that is written again updates its tags and files.
RUN_TAG = "wdr.run"

#: The tag with the report's status; it is set after the run's metrics are sent.
STATUS_TAG = "wdr.status"

#: The statuses of reports with metrics. A run that a gate stopped has none yet, and goes on once its span is accepted.
_WITH_METRICS = ("pushed", "refused")

#: How often MLflow tries a request again, and for how many seconds it waits for an answer, where its variables do not
#: say it: the run still holds its workspace. Its own defaults, 7 and 120, are minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}

#: MLflow's limits: the characters of a tag's value, and the metrics of a request.
_MAX_TAG, _MAX_BATCH = 5000, 1000


def send_run(workspace: Workspace, ended: EndedRun) -> None:
    """Sends a run to the tracking server that `MLFLOW_TRACKING_URI` names.

    Args:
      workspace: The run's workspace, which has its report and its pages.
      ended: The run.

    Raises:
      InputError: If MLflow is not installed, or cannot use the address.
      Exception: Whatever its client raises of a server that cannot be reached.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise InputError(f"where {TRACKING_URI} is set, MLflow must be installed (the package's extra `mlflow`)")
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException

    try:
        _send(workspace, ended)
    except MlflowException as error:
        scheme, separator, _ = os.environ[TRACKING_URI].partition("://" if "://" in os.environ[TRACKING_URI] else ":/")
        if not separator or scheme in _SCHEMES:
            raise
        raise InputError(
            f"{TRACKING_URI} must be http://… or https://… of a tracking server, or `databricks`; with "
            "MLFLOW_ALLOW_FILE_STORE=true, also a folder or file://…; a database needs the packages mlflow and "
            f"sqlalchemy beside the extra. Received: {scheme}://… ({' '.join(str(error).split())[:200]})"
        ) from error


def _send(workspace: Workspace, ended: EndedRun) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    run = _find_or_create_run(client, os.environ.get(EXPERIMENT_NAME) or ended.pipeline_name, ended.run_id)
    run_id, is_whole = run.info.run_id, run.data.tags.get(STATUS_TAG) in _WITH_METRICS
    metrics = [] if is_whole else list(_metrics(ended.report, round(time.time() * 1000)))
    for first in range(0, len(metrics), _MAX_BATCH):
        client.log_batch(run_id, metrics[first : first + _MAX_BATCH])
    for name, text in _tags(ended).items():
        client.set_tag(run_id, name, text[:_MAX_TAG])
    report_file = workspace.reports / f"{ended.run_id}.json"
    for file in (report_file, page_path(workspace, ended.run_id), card_path(workspace, ended.run_id)):
        if file.exists():
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)  # also a run whose model was refused has done its work; the verdict is in a tag


def _find_or_create_run(client: MlflowClient, experiment_name: str, name: str) -> Run:
    """Returns MLflow's run for a run of the pipeline: the one that it has, or a new one."""
    experiment = client.get_experiment_by_name(experiment_name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(experiment_name)
    found = client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{name}'", max_results=1)
    return found[0] if found else client.create_run(experiment_id, run_name=name, tags={RUN_TAG: name})


def _tags(ended: EndedRun) -> dict[str, str]:
    report = ended.report
    return {
        "wdr.pipeline": ended.pipeline_name,
        STATUS_TAG: report.status,
        "wdr.span": str(report.span),
        "wdr.version": "" if report.version is None else str(report.version),
        "wdr.reason": "; ".join(report.refusals) or report.reason,
        "wdr.baseline": report.held_against,
    }


def _metrics(report: RunReport, milliseconds: int) -> Iterator[Metric]:
    """Yields the metrics that have a value: those of each epoch, then those on the evaluation examples."""
    from mlflow.entities import Metric

    epochs = report.training.epochs if report.training else ()
    by_epoch = [
        (f"epoch_{name}", value, epoch.epoch)
        for epoch in epochs
        for name, value in (
            ("training_loss", epoch.loss), ("validation_logloss", epoch.validation.logloss),
            ("validation_auc", epoch.validation.auc),
        )
    ]  # fmt: skip
    at_end = [
        (f"{model}_{name.replace('@', '_at_')}", value, 0)  # MLflow's names have no @
        for model, metrics in (("candidate", report.metrics), ("baseline", report.baseline))
        for name, value in metrics.items()
    ]
    for name, value, step in (*by_epoch, *at_end):
        if value is not None and not math.isnan(value):
            yield Metric(name, value, milliseconds, step)
