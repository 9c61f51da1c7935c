"""A run is on record however it ends, and a scheduler waits for the span before only until its run has ended."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from components.fence import LostClaimError
from components.ingestion.spans import list_paths, resolve_span
from pipeline.report.run_report import RunReport, has_ended, read_report
from pipeline.runner.recorder import RunRecorder
from pipeline.runner.window import spans_to_ingest
from pipeline.workspace import Workspace
from tests.e2e.store import CONFIG
from tests.pipeline.report.run_results import run_result
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.errors import GateError, InputError

RUN = "store.night.1"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path)


def record(workspace: Workspace, node: str, error: Exception) -> RunReport:
    """Runs a node of span 7 that raises an error; returns the report of the run."""
    connection = workspace.metadata_connection()
    with metadata.Metadata(connection) as handle:
        type_id = handle.store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        (execution,) = handle.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    recorder = RunRecorder(workspace, connection, "store", RUN, 7)
    with pytest.raises(type(error)) as raised, recorder.recording_errors(lambda: node, lambda: {node: execution}):
        raise error
    assert raised.value is error
    return read_report(workspace.reports / f"{RUN}.json")


def metrics(workspace: Workspace) -> str:
    file = workspace.metrics / "store.prom"
    return file.read_text() if file.exists() else ""


def test_a_gate_that_stops_the_run_is_recorded(workspace: Workspace) -> None:
    report = record(workspace, "row_gate", GateError("too few rows"))
    assert report == dataclasses.replace(RunReport.skipped(7, "row_gate", "too few rows"), pipeline="store")
    assert 'result="skipped"' in metrics(workspace)


def test_a_tracker_that_did_not_get_the_run_is_told_at_its_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a gate's error, and among the places of a run that has done its last node."""
    monkeypatch.setenv("OPENLINEAGE_URL", "me:secret@host")
    error = GateError("too few rows")
    record(workspace, "row_gate", error)
    (note,) = error.__notes__
    assert note.startswith("OpenLineage did not get the run: OPENLINEAGE_URL must be SCHEME://")
    monkeypatch.setattr("pipeline.runner.recorder.read_run_result", lambda *_: run_result(span=7))
    result, _ = RunRecorder(workspace, workspace.metadata_connection(), "store", RUN, 7).ended({})
    assert result.places["OpenLineage"].startswith("not sent: OPENLINEAGE_URL must be SCHEME://")


def test_a_node_that_fails_is_recorded(workspace: Workspace) -> None:
    """Its metrics are not: a retry may follow, and the alert on a run that does not end is on them."""
    report = record(workspace, "trainer", ValueError("a shape is wrong\nand more"))
    why = "ValueError: a shape is wrong"
    assert report == dataclasses.replace(RunReport.failed(7, "trainer", why), pipeline="store")
    assert f'<p class="note bad">{why}</p>' in (workspace.reports / f"{RUN}.html").read_text()
    assert record(workspace, "push", InputError("no file x")).reason == "no file x"
    assert metrics(workspace) == ""


def test_a_full_disk_is_named(workspace: Workspace) -> None:
    report = record(workspace, "trainer", OSError(28, "No space left on device"))
    assert report.reason.startswith(f"no space left on the disk of {workspace.root}")


def test_a_failure_does_not_replace_the_end_of_the_run(workspace: Workspace) -> None:
    """Nodes that a scheduler runs at the same time belong to one run."""
    skipped = record(workspace, "row_gate", GateError("too few rows"))
    assert record(workspace, "serving_model", ValueError("x")) == skipped


def test_a_node_that_ends_well_after_all_removes_its_report(workspace: Workspace) -> None:
    """As when a span is accepted: what fails later in the run is recorded, and does not count as the run's end."""
    record(workspace, "data_gate", GateError("a label is missing"))
    recorder = RunRecorder(workspace, workspace.metadata_connection(), "store", RUN, 7)
    recorder.node_ended("row_gate")
    assert has_ended(workspace.reports, "store", 7)
    assert (workspace.reports / f"{RUN}.html").exists()
    index = workspace.reports / "index.html"
    assert RUN in index.read_text()
    recorder.node_ended("data_gate")
    assert RUN not in index.read_text()
    assert list(workspace.reports.glob(f"{RUN}*")) == []
    assert record(workspace, "trainer", ValueError("a shape is wrong")).status == "failed"
    assert not has_ended(workspace.reports, "store", 7)


def test_a_process_that_lost_its_claim_records_nothing(workspace: Workspace) -> None:
    recorder = RunRecorder(workspace, workspace.metadata_connection(), "store", RUN, 7)
    with pytest.raises(LostClaimError), recorder.recording_errors(lambda: "push", dict):
        raise LostClaimError("another run has the workspace")
    assert not (workspace.reports / f"{RUN}.json").exists()


def test_a_retry_s_end_replaces_a_failure(workspace: Workspace) -> None:
    record(workspace, "row_gate", ValueError("x"))
    assert record(workspace, "row_gate", GateError("too few rows")).status == "skipped"


def test_what_prevents_the_report_does_not_hide_the_error(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.reports.parent.mkdir(parents=True, exist_ok=True)
    workspace.reports.write_text("a file in the folder's place")
    recorder = RunRecorder(workspace, workspace.metadata_connection(), "store", RUN, 7)
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(ValueError, match=r"^x$"),
        recorder.recording_errors(lambda: "push", dict),
    ):
        raise ValueError("x")
    assert f"the report of the run {RUN} was not written" in caplog.text


def test_a_name_that_is_not_utf_8_can_be_recorded(workspace: Workspace) -> None:
    name = b"day-1/caf\xe9".decode(errors="surrogateescape")
    report = record(workspace, "row_gate", GateError(f"no file {name}"))
    assert report.reason == r"no file day-1/caf\udce9"


def test_a_run_that_failed_has_not_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.json").write_text(text)

    write("store.a.1", RunReport.skipped(3, "row_gate", "x").to_json())
    write("store.b.1", run_result(span=1).to_json())
    write("store.c.1", RunReport.failed(5, "trainer", "x").to_json())
    write("other.d.1", RunReport.skipped(6, "row_gate", "x").to_json())
    assert [span for span in range(8) if has_ended(tmp_path, "store", span)] == [1, 3]
    write("store.e.1", "{")
    assert not has_ended(tmp_path, "store", 5)
    (record,) = caplog.records
    assert record.getMessage().startswith("a run's report is passed over: a run's report must be JSON. ")


def test_of_the_window_the_spans_with_complete_logs_are_ingested(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The window of span 6 is 3 to 6. Span 3 has no logs; span 4 has no table of apps; span 5 has both."""
    config = load_config(CONFIG)
    window = config.__class__.from_json(config.to_json().replace('"window_spans": 2', '"window_spans": 4'))
    assert window.ingestion.window_spans == 4
    assert window.sources.installs is not None
    sources = {"impressions": window.sources.impressions.path, "installs": window.sources.installs.path}
    sources |= {name: table.path for name, table in window.sources.tables.items()}
    for span in (4, 5, 6):
        for name, path in sources.items():
            assert path is not None
            file = tmp_path / path.replace("{SPAN}", str(span)).replace("*", "part-0")
            file.parent.mkdir(parents=True, exist_ok=True)
            if (span, name) != (4, "catalog"):
                file.write_text("x\n")
    with pytest.raises(InputError):
        list(spans_to_ingest(window, str(tmp_path), 6))
    with caplog.at_level(logging.WARNING):
        assert list(spans_to_ingest(window, str(tmp_path), 6, None, InputError)) == [5]
    assert [f"the logs of span {span} are not read" in caplog.text for span in (3, 4, 5)] == [True, True, False]

    # A store removes old logs file by file: span 5 was ingested from more files than are left.
    left = list_paths(resolve_span(window, str(tmp_path), 5).files)
    more = left | {str(tmp_path / "impressions" / "gone")}

    def ingested_again(files: frozenset[str]) -> list[int]:
        return list(spans_to_ingest(window, str(tmp_path), 6, None, InputError, ingested_files=lambda _: files))

    caplog.clear()
    assert ingested_again(more) == []
    assert f"1 of the {len(more)} files that were ingested are gone, such as {min(more - left)}" in caplog.text
    assert ingested_again(left) == ingested_again(frozenset()) == ingested_again(more - left) == [5]

    # With late labels, the span before the window is ingested too, but its logs need not be there.
    late = json.loads(config.to_json())
    late["sources"]["installs"] |= {"leave_out_unknown_labels": True, "late_labels": True}
    for window_spans, needed in ((1, [5]), (2, [5])):
        late["ingestion"]["window_spans"] = window_spans
        assert list(spans_to_ingest(Config.from_json(json.dumps(late)), str(tmp_path), 6)) == needed
    marker = str(tmp_path / "done")
    assert list(spans_to_ingest(window, str(tmp_path), 6, lambda span: f"{marker}-{span}", InputError)) == []
    assert f"they are not complete: there is no {marker}-5" in caplog.text
