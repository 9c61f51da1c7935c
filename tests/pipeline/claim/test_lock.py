"""A run has exclusive use of its workspace, and removes what killed runs have left in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.claim.lock import NoLockError, WorkspaceBusyError, claimed, node_claimed
from pipeline.claim.owner import ForeignDatabaseError, MovedWorkspaceError, check_owner
from pipeline.metadata.store import NODE_RUN
from pipeline.workspace import Workspace

_HOLDER = """
import sys, tempfile
from pipeline.claim.lock import claimed
from pipeline.workspace import Workspace
with claimed(Workspace.at(sys.argv[1])):
    print(tempfile.mkdtemp(), flush=True)
    sys.stdin.read()
"""


def put_executions(
    workspace: Workspace, *states: metadata_store_pb2.Execution.State, context: str = NODE_RUN
) -> list[int]:
    """Writes executions in a context, by default one of the type that only this project's pipelines use."""
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        type_id = handle.store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
        executions = [metadata_store_pb2.Execution(type_id=type_id, last_known_state=state) for state in states]
        ids = list(handle.store.put_executions(executions))
        associate(handle.store, ids, context, f"monday.{ids[0]}")
        return ids


def associate(store: mlmd.MetadataStore, executions: list[int], kind: str, name: str) -> None:
    """Associates executions with a context."""
    type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
    (context,) = store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
    links = [metadata_store_pb2.Association(execution_id=id_, context_id=context) for id_ in executions]
    store.put_attributions_and_associations([], links)


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
    assert temporary.exists()  # the process that was refused has removed nothing
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
    """Another node may be running."""
    workspace, state = Workspace.at(tmp_path), metadata_store_pb2.Execution
    own, other = put_executions(workspace, state.RUNNING, state.RUNNING)
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        for name, execution in (("store.trainer", own), ("store.transform", other)):
            associate(handle.store, [execution], "node", name)
    for node, execution in (("trainer", own), ("transform", other)):
        (tmp_path / "artifacts" / node / "output" / str(execution)).mkdir(parents=True)
    with node_claimed(workspace, "store", "trainer"):
        assert [p.name for p in sorted((tmp_path / "artifacts").glob("*/output/*"))] == [str(other)]
        assert states(workspace) == {own: state.FAILED, other: state.RUNNING}


@pytest.mark.parametrize("claim", ["run", "node"])
def test_an_execution_of_another_pipeline_in_the_same_database_is_left_alone(tmp_path: Path, claim: str) -> None:
    """Another team's pipeline is running; its ids may equal those of folders from this workspace's earlier database."""
    workspace, state = Workspace.at(tmp_path), metadata_store_pb2.Execution
    (own,) = put_executions(workspace, state.RUNNING)
    (other,) = put_executions(workspace, state.RUNNING, context="pipeline_run")
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        associate(handle.store, [own, other], "node", "store.trainer")
    for execution in (own, other):
        (tmp_path / "artifacts" / "trainer" / "model" / str(execution)).mkdir(parents=True)
    with claimed(workspace) if claim == "run" else node_claimed(workspace, "store", "trainer"):
        pass
    assert states(workspace) == {own: state.FAILED, other: state.RUNNING}
    assert [path.name for path in (tmp_path / "artifacts" / "trainer" / "model").iterdir()] == [str(other)]


@pytest.mark.parametrize("claim", ["run", "node"])
def test_a_database_of_another_workspace_is_refused(tmp_path: Path, claim: str) -> None:
    first, second = (Workspace.at(tmp_path / name) for name in ("first", "second"))
    state = metadata_store_pb2.Execution
    (running,) = put_executions(first, state.RUNNING)
    second.root.mkdir()
    (second.root / "metadata").symlink_to(first.root / "metadata")  # one shared database, as on a server
    with node_claimed(first, "store", "transform"):
        own_id = first.id_file.read_text().strip()
        with (
            pytest.raises(ForeignDatabaseError) as raised,
            claimed(second) if claim == "run" else node_claimed(second, "store", "trainer"),
        ):
            pass
    assert states(first) == {running: state.RUNNING}
    second_id, database = second.id_file.read_text().strip(), second.root / "metadata" / "metadata.db"
    assert str(raised.value) == (
        "a database of ML Metadata must be one workspace's alone. Received: that of the workspace "
        f"{first.root} ({own_id}), for {second.root} ({second_id}); the database is {database}. "
        f"Where the first one is lost and this one takes its place, write {own_id} into {second.id_file}, and make "
        f"{first.root} a link to {second.root}"
    )
    put_artifact(first, first.artifacts / "examples")
    shutil.move(first.root / "metadata", tmp_path / "database")  # the rest of the first workspace is lost
    shutil.rmtree(first.root)
    (second.root / "metadata").unlink()
    (second.root / "metadata").symlink_to(tmp_path / "database")
    second.id_file.write_text(own_id)
    first.root.symlink_to(second.root)
    with claimed(second):
        assert states(second) == {running: state.FAILED}


def test_a_copied_workspace_whose_database_was_not_copied_along_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy has the same id as the original."""
    first, copy = (Workspace.at(tmp_path / name) for name in ("first", "copy"))
    connection = metadata_store_pb2.ConnectionConfig()
    connection.fake_database.SetInParent()  # SQLite in memory
    store = mlmd.MetadataStore(connection)
    first.root.mkdir()
    monkeypatch.setenv("WDR_METADATA_URL", "postgresql://wdr:secret@database/wdr")  # used only for the error message
    check_owner(store, first)
    check_owner(store, first)
    shutil.copytree(first.root, copy.root)
    with pytest.raises(ForeignDatabaseError, match="the database is postgresql://database:5432/wdr"):
        check_owner(store, copy)
    moved = Workspace.at(first.root.rename(tmp_path / "moved"))
    check_owner(store, moved)


def put_artifact(workspace: Workspace, uri: Path) -> None:
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        type_id = handle.store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
        handle.store.put_artifacts([metadata_store_pb2.Artifact(type_id=type_id, uri=str(uri))])


@pytest.mark.parametrize("claim", ["run", "node"])
def test_a_moved_workspace_is_refused_from_its_first_artifact_on(tmp_path: Path, claim: str) -> None:
    """ML Metadata has the absolute paths of artifacts."""
    made = Workspace.at(tmp_path / "made")
    with claimed(made):
        pass
    moved = Workspace.at(made.root.rename(tmp_path / "moved"))
    put_artifact(moved, tmp_path / "made-by-another-pipeline")

    def taken() -> contextlib.AbstractContextManager[object]:
        return claimed(moved) if claim == "run" else node_claimed(moved, "store", "trainer")

    with taken():
        pass  # nothing of it is elsewhere
    put_artifact(moved, made.artifacts / "examples")
    with pytest.raises(MovedWorkspaceError) as raised, taken():
        pass
    assert str(raised.value) == (
        "a workspace must stay where its first run made it: ML Metadata has the absolute paths of its artifacts. "
        f"Received: {moved.root}, of a workspace made at {made.root}. Move it back, or make {made.root} a link to it"
    )
    with claimed(made):  # a scheduler has made another workspace there
        pass
    with pytest.raises(MovedWorkspaceError), taken():
        pass
    shutil.rmtree(made.root)
    made.root.symlink_to(moved.root)
    with taken():
        pass


@pytest.mark.parametrize("claim", ["run", "node"])
def test_a_copy_beside_the_original_is_refused_and_may_take_its_place(tmp_path: Path, claim: str) -> None:
    """It would read the original's artifacts, and break when the original goes."""
    original = Workspace.at(tmp_path / "original")
    with claimed(original):
        pass
    put_artifact(original, original.artifacts / "examples")
    copy = Workspace.at(shutil.copytree(original.root, tmp_path / "copy"))

    def taken(workspace: Workspace) -> contextlib.AbstractContextManager[object]:
        return claimed(workspace) if claim == "run" else node_claimed(workspace, "store", "trainer")

    with pytest.raises(MovedWorkspaceError) as raised, taken(copy):
        pass
    assert str(raised.value) == (
        "a workspace must stay where its first run made it: ML Metadata has the absolute paths of its artifacts. "
        f"Received: {copy.root}, a copy of the workspace {original.root}, whose artifacts it would read. Run in "
        f"{original.root}; where the copy is to take its place, move {original.root} away, and make {original.root} a "
        f"link to {copy.root}"
    )
    with taken(original):
        pass
    original.root.rename(tmp_path / "away")
    original.root.symlink_to(copy.root)
    with taken(copy):
        pass


def test_of_two_workspaces_that_take_a_database_at_once_one_has_it(tmp_path: Path) -> None:
    connection = metadata_store_pb2.ConnectionConfig()
    connection.fake_database.SetInParent()
    store = mlmd.MetadataStore(connection)
    workspaces = [Workspace.at(tmp_path / name) for name in ("first", "second")]

    class Late(mlmd.MetadataStore):  # type: ignore[misc]
        """Finds no owner at first, as just before another process records itself."""

        asked = 0

        def get_context_by_type_and_name(self, *arguments: str) -> metadata_store_pb2.Context | None:
            self.asked += 1
            return None if self.asked == 1 else store.get_context_by_type_and_name(*arguments)

        def put_context_type(self, *arguments: metadata_store_pb2.ContextType) -> int:
            return int(store.put_context_type(*arguments))

        def put_contexts(self, contexts: list[metadata_store_pb2.Context]) -> list[int]:
            return list(store.put_contexts(contexts))

    check_owner(Late(connection), workspaces[0])
    with pytest.raises(ForeignDatabaseError):
        check_owner(Late(connection), workspaces[1])


@pytest.mark.parametrize("claim", ["run", "node"])
def test_a_lock_that_cannot_be_had_is_told_with_what_is_wanted(tmp_path: Path, claim: str) -> None:
    workspace = Workspace.at(tmp_path)
    (tmp_path / ".lock").write_bytes(b"a file of something else" * 100)
    with (
        pytest.raises(NoLockError) as raised,
        claimed(workspace) if claim == "run" else node_claimed(workspace, "store", "push"),
    ):
        pass
    assert str(raised.value) == (
        "a workspace's lock must be a file of SQLite's on a file system that keeps locks, local or NFS 4. "
        f"Received: file is not a database ({tmp_path}/.lock)"
    )
