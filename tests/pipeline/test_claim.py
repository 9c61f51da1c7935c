"""A run has its workspace to itself, and what killed runs have left in it goes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.claim import WorkspaceBusyError, claimed, node_claimed
from pipeline.workspace import Workspace

_HOLDER = """
import sys, tempfile
from pipeline.claim import claimed
from pipeline.workspace import Workspace
with claimed(Workspace.at(sys.argv[1])):
    print(tempfile.mkdtemp(), flush=True)
    sys.stdin.read()
"""


def put_executions(workspace: Workspace, *states: metadata_store_pb2.Execution.State) -> list[int]:
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        type_id = handle.store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        executions = [metadata_store_pb2.Execution(type_id=type_id, last_known_state=state) for state in states]
        return list(handle.store.put_executions(executions))


def states(workspace: Workspace) -> dict[int, metadata_store_pb2.Execution.State]:
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        return {e.id: e.last_known_state for e in handle.store.get_executions()}


def test_what_a_killed_execution_wrote_goes_and_nothing_else(tmp_path: Path) -> None:
    workspace, state = Workspace.at(tmp_path), metadata_store_pb2.Execution
    done, killed, cached = put_executions(workspace, state.COMPLETE, state.RUNNING, state.CACHED)
    for folder in (
        *(f"{name}/{id_}" for id_ in (done, killed) for name in ("model", "model_run", ".system/executor_execution")),
        ".system/stateful_working_dir/b0a3",
    ):
        (tmp_path / "artifacts" / "trainer" / folder).mkdir(parents=True)
        (tmp_path / "artifacts" / "trainer" / folder / "file").touch()
    with claimed(workspace):
        pass
    left = {p.parent.relative_to(tmp_path / "artifacts" / "trainer").as_posix() for p in tmp_path.rglob("file")}
    assert left == {f"model/{done}", f"model_run/{done}", f".system/executor_execution/{done}"}
    assert states(workspace) == {done: state.COMPLETE, killed: state.FAILED, cached: state.CACHED}


def test_a_killed_execution_is_found_behind_any_number_of_earlier_ones(tmp_path: Path) -> None:
    workspace, state = Workspace.at(tmp_path), metadata_store_pb2.Execution
    put_executions(workspace, *[state.COMPLETE] * 250)
    (killed,) = put_executions(workspace, state.RUNNING)
    with claimed(workspace):
        pass
    assert states(workspace)[killed] == state.FAILED


def test_temporary_files_are_the_workspaces_and_go(tmp_path: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with claimed(Workspace.at(tmp_path)):
        own = Path(tempfile.mkdtemp())
        (own / "file").touch()
        assert tmp_path in own.parents
        asked = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == str(own.parent)
    assert not own.exists()
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


def test_a_workspace_is_held_by_one_process_until_that_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    temporary = Path(holder.stdout.readline().strip())
    sentence = rf"the workspace takes one run at a time, and another is using it \({tmp_path}\)"
    with pytest.raises(WorkspaceBusyError, match=sentence), claimed(Workspace.at(tmp_path)):
        pass
    assert temporary.exists()  # what was not let in has removed nothing
    holder.kill()
    holder.communicate()
    assert temporary.exists()
    with claimed(Workspace.at(tmp_path)):
        assert not temporary.exists()


def test_nodes_are_held_side_by_side_and_a_run_alone(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with node_claimed(workspace, "store", "transform"):
        with node_claimed(workspace, "store", "trainer"):
            pass
        twice = rf"another process is running transform, or a whole run \({tmp_path}\)"
        for name in ("store", "other_store"):
            with pytest.raises(WorkspaceBusyError, match=twice), node_claimed(workspace, name, "transform"):
                pass
        with pytest.raises(WorkspaceBusyError, match="takes one run at a time"), claimed(workspace):
            pass
    with (
        claimed(workspace),
        pytest.raises(WorkspaceBusyError, match="another process is running trainer, or a whole run"),
        node_claimed(workspace, "store", "trainer"),
    ):
        pass


def test_a_node_removes_what_its_own_killed_executions_wrote(tmp_path: Path) -> None:
    """Another node may be at work."""
    workspace, state = Workspace.at(tmp_path), metadata_store_pb2.Execution
    own, other = put_executions(workspace, state.RUNNING, state.RUNNING)
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        type_id = handle.store.put_context_type(metadata_store_pb2.ContextType(name="node"))
        for name, execution in (("store.trainer", own), ("store.transform", other)):
            (context,) = handle.store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
            link = metadata_store_pb2.Association(execution_id=execution, context_id=context)
            handle.store.put_attributions_and_associations([], [link])
    for node, execution in (("trainer", own), ("transform", other)):
        (tmp_path / "artifacts" / node / "output" / str(execution)).mkdir(parents=True)
    with node_claimed(workspace, "store", "trainer"):
        assert [p.name for p in sorted((tmp_path / "artifacts").glob("*/output/*"))] == [str(other)]
        assert states(workspace) == {own: state.FAILED, other: state.RUNNING}
