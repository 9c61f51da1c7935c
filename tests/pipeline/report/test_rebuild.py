"""`wdr report`: which run it takes, and what it says if there is none."""

from __future__ import annotations

import dataclasses
import os
import re
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
from pipeline.report.rebuild import rebuild
from pipeline.report.result.read import executions_of
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


def pushed(workspace: Workspace, run_id: str, config: str = "", *, is_ended: bool = True) -> int:
    """Records an execution of a run's push, and returns its id."""
    with Metadata(workspace.metadata_connection()) as handle:
        store, contexts = handle.store, []
        for kind, name in (("pipeline", "store"), ("pipeline_run", run_id), ("node", "store.push")):
            type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
            contexts.append(metadata_store_pb2.Context(type_id=type_id, name=name))
        type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        states = metadata_store_pb2.Execution
        execution = states(type_id=type_id, last_known_state=states.COMPLETE if is_ended else states.FAILED)
        execution.custom_properties["config"].string_value = config
        id_: int = store.put_execution(execution, [], contexts, reuse_context_if_already_exist=True)[0]
    return id_


def test_of_a_node_that_was_run_again_the_last_execution_is_taken(workspace: Workspace) -> None:
    first, last = (pushed(workspace, "a", is_ended=is_ended) for is_ended in (False, True))
    assert first < last
    with Metadata(workspace.metadata_connection()) as handle:
        assert executions_of(handle.store, "a") == ("store", {"push": last})
        assert executions_of(handle.store, "c") == ("", {})


def test_the_config_is_compared_with_that_of_the_run_before_that_trained(workspace: Workspace) -> None:
    """The run between them was stopped before its push; a feature's key and a new section differ."""
    reports = {"b": run_result(), "m": RunReport.skipped(2, "row_gate", "too few rows"), "z": run_result(span=3)}
    for seconds, (name, report) in enumerate(reports.items()):
        file = workspace.reports / f"{name}.json"
        storage.write_text(str(file), dataclasses.replace(report, pipeline="store").to_json())
        os.utime(file, (10 + seconds,) * 2)
    spec = '{"schema_version": 2, "spec": {"features": [{"name": "price", "num_quantiles": %d}]}, "training": {}%s}'
    pushed(workspace, "b", spec % (4, ""))
    pushed(workspace, "z", spec % (9, ', "quality": {"pool_spans": 7}'))
    rebuild(workspace, "z")
    text = (workspace.reports / "z.html").read_text()
    assert 'href="m.html"' not in text  # that run has no page
    assert "Compared with the run b of span 1, pushed," in text
    rows = re.findall(r'<th scope="row"[^>]*>config, ([^<]*)</th>\n<td[^>]*>(.*)</td>\n<td[^>]*>(.*)</td>', text)
    assert rows == [("features.price.num_quantiles", "4", "9"), ("quality.pool_spans", "–", "7")]
    rebuild(workspace, "m")
    text = (workspace.reports / "m.html").read_text()
    assert "not known: one of the runs ended before its push" in text
    assert 'href="z.html"' in text
