"""A run in MLflow's own store, as MLflow's client reads it."""

from __future__ import annotations

import dataclasses
import logging
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.report.exports.trackers import track
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from tests.pipeline.report.run_results import TRAINING, ended, run_result
from trainer.training.position import Epoch, Metrics

EPOCHS = (Epoch(1, 40, 0.75, Metrics(20, 0.625, 0.5)), Epoch(2, 40, 0.5, Metrics(20, None, 0.25)))
REPORT = run_result(
    training=dataclasses.replace(TRAINING, epochs=EPOCHS),
    metrics={"auc": 0.75, "gauc": float("nan"), "ndcg@10": 0.25},
    baseline={"auc": 0.5},
    held_against="version 3",
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.reports.mkdir(parents=True)
    for name in ("night.json", "night.html", "night.model_card.md"):
        (workspace.reports / name).write_text(name)
    return workspace


def runs(uri: str, experiment: str) -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def test_a_run_with_its_metrics_verdict_and_files(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    track(workspace, ended(REPORT, run_id="night"))
    (run,) = runs(uri, "store")
    assert (run.info.run_name, run.info.status) == ("night", "FINISHED")
    assert run.data.metrics == {
        "epoch_training_loss": 0.5,
        "epoch_validation_logloss": 0.25,
        "epoch_validation_auc": 0.625,
        "candidate_auc": 0.75,
        "candidate_ndcg_at_10": 0.25,
        "baseline_auc": 0.5,
    }
    client = MlflowClient(uri)
    curve = client.get_metric_history(run.info.run_id, "epoch_training_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.75), (2, 0.5)]
    assert run.data.tags.items() >= {
        ("wdr.status", "pushed"), ("wdr.span", "1"), ("wdr.version", "1"), ("wdr.baseline", "version 3")
    }  # fmt: skip
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"night.json", "night.html", "night.model_card.md"}


def test_a_report_that_is_written_again_updates_its_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ranking")
    refused = dataclasses.replace(REPORT, status="refused", version=None, refusals=("auc: too low",))
    for report in (refused, REPORT):
        track(workspace, ended(report, run_id="night"))
    (run,) = runs(uri, "ranking")
    assert (run.info.status, run.data.tags["wdr.status"], run.data.tags["wdr.reason"]) == ("FINISHED", "pushed", "")
    track(workspace, ended(refused, run_id="next-night"))
    newest = runs(uri, "ranking")[0]
    assert (newest.info.status, newest.data.tags["wdr.reason"]) == ("FINISHED", "auc: too low")
    curve = MlflowClient(uri).get_metric_history(run.info.run_id, "epoch_training_loss")
    assert [point.step for point in curve] == [1, 2]


def test_a_run_that_goes_on_after_a_gate_stopped_it_has_its_metrics(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for report in (RunReport.skipped(1, "row_gate", "too few rows"), REPORT, REPORT):
        track(workspace, ended(report, run_id="night"))
    (run,) = runs(uri, "store")
    assert run.data.tags["wdr.status"] == "pushed"
    assert run.data.metrics["candidate_auc"] == 0.75
    curve = MlflowClient(uri).get_metric_history(run.info.run_id, "epoch_training_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.75), (2, 0.5)]


def test_a_server_that_cannot_be_reached_is_logged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:se@cret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.ERROR, logger="absl"):
        problems = track(workspace, ended(REPORT, run_id="night"))
    assert problems["MLflow"].startswith("MlflowException: ")
    assert "the run night was not sent to MLflow: MlflowException: " in caplog.text
    assert f"127.0.0.1:{port}" in caplog.text
    assert "cret" not in caplog.text


def test_without_the_variable_nothing_is_sent(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """MLflow's client would make files in the current folder, or fail, which is logged."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(workspace.root)
    before = sorted(workspace.root.rglob("*"))
    track(workspace, ended(REPORT, run_id="night"))
    assert (sorted(workspace.root.rglob("*")), caplog.text) == (before, "")


def test_a_database_that_the_extra_cannot_use_is_told_with_what_it_can_use(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    problem = track(workspace, ended(REPORT, run_id="night"))["MLflow"]
    assert problem.startswith(
        "MLFLOW_TRACKING_URI must be http://… or https://… of a tracking server, or `databricks`; "
    )
    assert "Received: sqlite://… (" in problem
