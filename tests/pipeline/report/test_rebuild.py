"""`wdr report`: which run it takes, and what it says if there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.cli.main import cli
from pipeline.metadata.handle import Metadata
from pipeline.report.page.write import write_page
from pipeline.report.rebuild import _executions, rebuild
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from tests.pipeline.report.run_results import ended, run_result
from transform.errors import InputError
from transform.files.version_layout import MANIFEST_PATH


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the reports of two runs, of which ML Metadata has no record any more."""
    found = Workspace.at(tmp_path)
    add_version(str(found.serving("store")), lambda folder: storage.write_text(f"{folder}/x", "x"), Manifest())
    for name, report, seconds in (("b", run_result(), 1), ("a", RunReport.skipped(2, "row_gate", "too few rows"), 2)):
        file = found.reports / f"{name}.json"
        storage.write_text(str(file), report.to_json())
        os.utime(file, (seconds, seconds))
    return found


def test_the_last_run_or_a_named_one(workspace: Workspace) -> None:
    assert rebuild(workspace, None).path == workspace.reports / "a.html"
    assert "Stopped by row_gate" in (workspace.reports / "a.html").read_text()
    result = CliRunner().invoke(cli, ["report", "b", "--workspace", str(workspace.root)])
    assert (result.exit_code, result.output) == (0, f"{workspace.reports / 'b.html'}\n")
    assert "Pushed as version 1" in (workspace.reports / "b.html").read_text()
    assert (workspace.reports / "index.html").exists()


@pytest.mark.parametrize("name", ["c", "../reports/a", "a.json", ""])
def test_another_name_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError, match=r"^a run must be one on record, such as b, a\. Received: ") as raised:
        rebuild(workspace, name)
    assert repr(name) in str(raised.value)


def test_a_workspace_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must have the report of a run"):
        rebuild(Workspace.at(tmp_path), None)


def test_an_index_that_cannot_be_written_leaves_the_page(workspace: Workspace) -> None:
    """A version of another model is damaged."""
    other = workspace.serving("other")
    add_version(str(other), lambda folder: storage.write_text(f"{folder}/x", "x"), Manifest())
    (other / "1" / MANIFEST_PATH).write_text("{")
    outcome = write_page(workspace, ended(run_result(), run_id="b"))
    assert outcome.path == workspace.reports / "b.html"
    assert outcome.path.exists()
    assert [problem.split(":")[0] for problem in outcome.problems] == ["Index of all runs"]


def test_of_a_node_that_was_run_again_the_last_execution_is_taken(workspace: Workspace) -> None:
    connection = workspace.metadata_connection()
    with Metadata(connection) as handle:
        store, contexts = handle.store, []
        for kind, name in (("pipeline", "store"), ("pipeline_run", "a"), ("node", "store.push")):
            type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
            contexts.append(metadata_store_pb2.Context(type_id=type_id, name=name))
        type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        ids = []
        for state in (metadata_store_pb2.Execution.FAILED, metadata_store_pb2.Execution.COMPLETE):
            execution = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
            ids.append(store.put_execution(execution, [], contexts, reuse_context_if_already_exist=True)[0])
    assert ids[0] < ids[1]
    assert _executions(connection, "a") == ("store", {"push": ids[1]})
