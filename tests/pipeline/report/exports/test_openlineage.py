"""A run's lineage, as an OpenLineage server receives it."""

from __future__ import annotations

import dataclasses
import http.server
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2

from pipeline.report.exports.trackers import track
from pipeline.report.result.read import read_run
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace

Execution, Event = mlmd_pb2.Execution, mlmd_pb2.Event


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Removes OpenLineage's variables, and restores the environment afterwards: its client sets some of its own."""
    saved = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture
def received() -> Iterator[list[dict[str, Any]]]:
    """The events sent to a server on loopback, which the environment names."""
    events: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/api/v1/lineage"
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["OPENLINEAGE_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield events
        server.shutdown()


@pytest.fixture
def executions(tmp_path: Path) -> dict[str, int]:
    """Executions of three nodes: a complete ingestion, a failed gate and a running resolver."""
    store = mlmd.MetadataStore(Workspace.at(tmp_path).metadata_connection())
    kind = store.put_execution_type(mlmd_pb2.ExecutionType(name="a_component"))
    type_id = store.put_artifact_type(mlmd_pb2.ArtifactType(name="Examples"))
    examples = mlmd_pb2.Artifact(type_id=type_id, uri="/workspace/examples/1")
    ingestion = Execution(type_id=kind, last_known_state=Execution.COMPLETE)
    files = {"impressions": {"train": ["/data/a.csv"], "eval": ["s3://logs/day/b.csv"]}}
    ingestion.custom_properties["files"].string_value = json.dumps(files)
    first, (examples_id,), _ = store.put_execution(ingestion, [(examples, Event(type=Event.OUTPUT))], [])
    examples.id = examples_id
    gate = Execution(type_id=kind, last_known_state=Execution.FAILED)
    second, _, _ = store.put_execution(gate, [(examples, Event(type=Event.INPUT))], [])
    beside = Execution(type_id=kind, last_known_state=Execution.RUNNING)
    third, _, _ = store.put_execution(beside, [(examples, Event(type=Event.INPUT))], [])
    return {"example_gen": first, "row_gate": second, "span_window": third}


def send(tmp_path: Path, executions: dict[str, int]) -> Mapping[str, str]:
    """Sends the run; returns why it was not sent, by tracker."""
    workspace, report = (
        Workspace.at(tmp_path),
        dataclasses.replace(RunReport.skipped(1, "row_gate", ""), pipeline="store"),
    )
    return track(workspace, read_run(workspace, workspace.metadata_connection(), "day-1", executions, report))


def test_each_node_from_what_it_read_to_what_it_made(
    tmp_path: Path, executions: dict[str, int], received: list[dict[str, Any]]
) -> None:
    send(tmp_path, executions)

    def places(event: dict[str, Any], side: str) -> list[tuple[str, str]]:
        return [(dataset["namespace"], dataset["name"]) for dataset in event[side]]

    examples = ("file", "/workspace/examples/1")
    logs = [("file", "/data/a.csv"), ("s3://logs", "day/b.csv")]
    reported = [(e["job"]["name"], e["eventType"], places(e, "inputs"), places(e, "outputs")) for e in received]
    assert reported == [
        ("store.example_gen", "START", logs, [examples]),
        ("store.example_gen", "COMPLETE", logs, [examples]),
        ("store.row_gate", "START", [examples], []),
        ("store.row_gate", "FAIL", [examples], []),
        ("store.span_window", "START", [examples], []),
    ]
    assert {event["job"]["namespace"] for event in received} == {"wide-deep-ranker"}
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in received}
    assert len(parents) == 1
    assert len({event["run"]["runId"] for event in received} | parents) == 4


def test_the_same_run_has_the_same_ids(
    tmp_path: Path, executions: dict[str, int], received: list[dict[str, Any]]
) -> None:
    send(tmp_path, executions)
    first = [event["run"]["runId"] for event in received]
    received.clear()
    send(tmp_path, executions)
    assert [event["run"]["runId"] for event in received] == first


@pytest.mark.parametrize("variable", [None, "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_API_KEY"])
def test_nothing_is_sent_where_nobody_says_where_to(
    tmp_path: Path, executions: dict[str, int], variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mock.Mock()
    monkeypatch.setattr("pipeline.report.exports.openlineage.OpenLineageClient", made)
    if variable:
        os.environ[variable] = "x"
    send(tmp_path, executions)
    assert made.call_count == 0
    os.environ["OPENLINEAGE_CONFIG"] = "openlineage.yml"
    send(tmp_path, executions)
    assert made.call_count == 1


def test_a_catalog_that_is_away_fails_no_run(
    tmp_path: Path, executions: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    os.environ["OPENLINEAGE__TRANSPORT__TYPE"] = "http"
    os.environ["OPENLINEAGE__TRANSPORT__URL"] = "http://127.0.0.1:9"  # no server listens on this port
    os.environ["OPENLINEAGE__TRANSPORT__RETRY"] = json.dumps({"total": 0})
    with caplog.at_level(logging.ERROR):
        problems = send(tmp_path, executions)
    assert problems.keys() == {"OpenLineage"}
    assert f"the run day-1 was not sent to OpenLineage: {problems['OpenLineage']}" in caplog.text
    assert "Connection refused" in problems["OpenLineage"]


@pytest.mark.parametrize(
    "address",
    [
        "http://me:se/cret@127.0.0.1:9", "me:secret@127.0.0.1:9", "http//me:secret@host", "ftp://me:secret@host",
        "http://me:secret@127.0.0.1:99999", "http://me:se[cret@host:9",
    ],
)  # fmt: skip
def test_no_part_of_a_password_is_logged(
    tmp_path: Path, executions: dict[str, int], caplog: pytest.LogCaptureFixture, address: str
) -> None:
    os.environ["OPENLINEAGE_URL"] = address
    with caplog.at_level(logging.DEBUG):
        problems = send(tmp_path, executions)
    assert "was not sent to OpenLineage" in caplog.text
    assert "cret" not in caplog.text + str(problems)
