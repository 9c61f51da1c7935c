"""The Prometheus metrics of a run, and the alerts on them."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path

import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2
from prometheus_client.parser import text_string_to_metric_families
from tfx.orchestration import metadata

from components import storage
from components.ingestion.counts import Counts
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.report.page.outcome import PageOutcome
from pipeline.report.run_report import RunReport, RunResult, read_report
from pipeline.runner.recorder import RunRecorder
from pipeline.workspace import Workspace
from tests.e2e.store import ROOT
from tests.pipeline.report.run_results import run_result

COUNTS = Counts(span=7, read={"impressions": 100, "apps": 7}, rejected={"impressions": {"bad_label": 2, "no_id": 1}})


def result(version: int | None) -> RunResult:
    status = "refused" if version is None else "pushed"
    return run_result(status=status, pipeline="store", span=7, counts=COUNTS, baseline={"auc": 0.5}, version=version)


def skipped() -> RunReport:
    return dataclasses.replace(RunReport.skipped(7, "row_gate", "too few rows"), pipeline="store")


def samples(workspace: Workspace) -> dict[tuple[str, ...], float]:
    """Returns the metrics' values, by name and labels other than `pipeline`."""
    text = (workspace.metrics / "store.prom").read_text()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.labels["pipeline"] for sample in found} == {"store"}
    return {(s.name, *(v for k, v in sorted(s.labels.items()) if k != "pipeline")): s.value for s in found}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a pushed version."""
    found = Workspace.at(tmp_path)
    add_version(str(found.serving("store")), lambda folder: storage.write_text(f"{folder}/x", "x"), Manifest())
    return found


def write(workspace: Workspace, report: RunReport) -> PageOutcome:
    connection = workspace.metadata_connection()
    with metadata.Metadata(connection) as handle:
        type_id = handle.store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        (execution,) = handle.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    return RunRecorder(workspace, connection, "store", "a-run", 7).record({"trainer": execution}, report)[0]


def test_a_run_that_pushed(workspace: Workspace) -> None:
    before = time.time()
    write(workspace, result(1))
    found = samples(workspace)
    ended = found.pop(("wdr_last_run_timestamp_seconds", "pushed"))
    pushed = found.pop(("wdr_served_model_pushed_timestamp_seconds",))
    assert before - 60 < pushed <= before <= ended <= time.time()
    assert 0 <= found.pop(("wdr_node_seconds", "trainer")) < 60
    assert found == {
        ("wdr_last_run_span",): 7,
        ("wdr_served_version",): 1,
        ("wdr_report_page_problems",): 0,
        ("wdr_rows", "impressions", "read"): 100,
        ("wdr_rows", "impressions", "rejected"): 3,
        ("wdr_rows", "apps", "read"): 7,
        ("wdr_rows", "apps", "rejected"): 0,
        ("wdr_metric", "auc", "candidate"): 0.75,
        ("wdr_metric", "auc", "serving"): 0.5,
    }


def test_a_rollback_makes_no_model_younger(workspace: Workspace) -> None:
    """Version 2 serves, then version 3 restores version 1 and has its age. All three have the same model URI."""
    root = str(workspace.serving("store"))

    def add(text: str) -> float:
        add_version(root, lambda folder: storage.write_text(f"{folder}/x", text), Manifest(model_uri="m"))
        write(workspace, result(1))
        return samples(workspace)[("wdr_served_model_pushed_timestamp_seconds",)]

    first = add("m1")
    time.sleep(1.1)  # the manifests have times in whole seconds
    assert add("m2") > first
    assert add("m1") == first


def test_the_run_of_a_past_day_is_not_the_last_run(workspace: Workspace) -> None:
    """The runs in this test are of span 7."""
    root = str(workspace.serving("store"))
    write(workspace, result(1))
    add_version(root, lambda folder: storage.write_text(f"{folder}/x", "x"), Manifest(spans=(7, 8)))
    write(workspace, result(None))
    assert ("wdr_last_run_timestamp_seconds", "pushed") in samples(workspace)


def test_a_run_that_was_refused_or_skipped(workspace: Workspace) -> None:
    write(workspace, result(None))
    assert ("wdr_last_run_timestamp_seconds", "refused") in samples(workspace)
    write(workspace, skipped())
    found = samples(workspace)
    assert {name for name, *_ in found} == {
        "wdr_last_run_timestamp_seconds", "wdr_last_run_span", "wdr_node_seconds", "wdr_served_version",
        "wdr_report_page_problems", "wdr_served_model_pushed_timestamp_seconds",
    }  # fmt: skip
    assert ("wdr_last_run_timestamp_seconds", "skipped") in found
    assert read_report(workspace.reports / "a-run.json") == skipped()


def test_a_page_that_cannot_be_written_is_counted_and_said_and_nothing_else_is_lost(workspace: Workspace) -> None:
    """A folder is in the page's place; the run, which has pushed, does not fail."""
    (workspace.reports / "a-run.html").mkdir(parents=True)
    page = write(workspace, result(1))
    assert page.path is None
    assert page.words.startswith("not written: IsADirectoryError: ")
    assert samples(workspace)[("wdr_report_page_problems",)] == 1
    assert read_report(workspace.reports / "a-run.json").version == 1
    (workspace.reports / "a-run.html").rmdir()
    page = write(workspace, result(1))
    assert page.words == str(workspace.reports / "a-run.html")
    assert samples(workspace)[("wdr_report_page_problems",)] == 0


def test_the_alerts_are_on_metrics_that_there_are(workspace: Workspace) -> None:
    write(workspace, result(1))
    existing = {name for name, *_ in samples(workspace)}
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"]
    (of_runs,) = [group for group in groups if group["name"] == "wide-deep-ranker"]
    for rule in of_runs["rules"]:
        asked = set(re.findall(r"wdr_\w+", rule["expr"]))
        assert asked
        assert asked <= existing, rule["alert"]
        assert set(re.findall(r'result="(\w+)"', rule["expr"])) <= {"pushed", "refused", "skipped"}
