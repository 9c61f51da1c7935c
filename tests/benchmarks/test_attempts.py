"""A task that was interrupted finds the workspace as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.attempts import put_back, whole_attempt
from pipeline.claim.lock import WorkspaceBusyError, claimed
from pipeline.workspace import Workspace


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with an artifact, and a file that runs write again."""
    folder = tmp_path / "workspace"
    (folder / "artifacts" / "trainer" / "model" / "7").mkdir(parents=True)
    (folder / "artifacts" / "trainer" / "model" / "7" / "weights").write_text("seven")
    (folder / "metadata").mkdir()
    (folder / "metadata" / "state").write_text("after seven")
    return folder


def interrupted_task(workspace: Path, copy: Path) -> None:
    """A task that changes a file in its place and adds others, and is interrupted."""
    with whole_attempt(workspace, copy):
        (workspace / "metadata").mkdir(exist_ok=True)
        with (workspace / "metadata" / "state").open("a") as file:
            file.write(", eight runs")
        (workspace / "artifacts" / "trainer" / "model" / "8").mkdir(parents=True)
        (workspace / "checkpoints").mkdir()
        (workspace / "checkpoints" / "step-9").write_text("half")
        raise KeyboardInterrupt


def interrupt(workspace: Path, copy: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_task(workspace, copy)


def test_what_an_interrupted_task_wrote_is_undone(workspace: Path, tmp_path: Path) -> None:
    before, copy = contents(workspace), tmp_path / "before-1-0"
    interrupt(workspace, copy)
    put_back(copy, workspace)
    assert contents(workspace) == before
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_so_is_what_a_first_task_wrote(tmp_path: Path) -> None:
    copy, workspace = tmp_path / "before-1-0", tmp_path / "workspace"
    interrupt(workspace, copy)
    put_back(copy, workspace)
    assert contents(workspace) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_copy_has_the_artifacts_without_a_second_set_of_bytes(workspace: Path, tmp_path: Path) -> None:
    with whole_attempt(workspace, tmp_path / "before-1-0"):
        artifact = Path("artifacts") / "trainer" / "model" / "7" / "weights"
        assert (tmp_path / "before-1-0" / artifact).samefile(workspace / artifact)
        assert not (tmp_path / "before-1-0" / "metadata" / "state").samefile(workspace / "metadata" / "state")
    assert not (tmp_path / "before-1-0").exists()


def test_a_task_that_still_runs_is_not_undone(workspace: Path, tmp_path: Path) -> None:
    interrupt(workspace, tmp_path / "before-1-0")
    with claimed(Workspace.at(workspace)), pytest.raises(WorkspaceBusyError):
        put_back(tmp_path / "before-1-0", workspace)
