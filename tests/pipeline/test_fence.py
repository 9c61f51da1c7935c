"""A run that has lost its workspace's lock without notice pushes nothing, and removes no files of the new holder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.fence import LostClaimError
from components.model_store.manifest import Manifest
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version, locked, verify, versions
from pipeline.claim.lock import claimed, node_claimed
from pipeline.registry.garbage import collect_garbage
from pipeline.workspace import Workspace

#: Claims on the workspace: of a whole run, and of a node.
Claim = Callable[[Workspace], contextlib.AbstractContextManager[None]]


def node(name: str) -> Claim:
    return lambda workspace: node_claimed(workspace, "store", name)


def lose_lock(workspace: Workspace, claim: Claim = claimed) -> None:
    """Removes the lock's file, as a clean-up of hidden files may; then claims the workspace again."""
    (workspace.root / ".lock").unlink()
    with claim(workspace):
        pass


def add(workspace: Workspace, text: str, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Adds a version, as a push does; calls `meanwhile` while its files are copied."""
    root = str(workspace.serving("store"))

    def fill(folder: str) -> None:
        storage.write_text(os.path.join(folder, "saved_model.pb"), text)
        meanwhile()

    with locked(root):
        return add_version(root, fill, Manifest(model_uri=text, spans=(1,)))


def names(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.serving("store").iterdir())


def test_a_run_that_has_lost_its_workspace_adds_no_version(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with claimed(workspace):
        assert add(workspace, "one") == 1
        lose_lock(workspace)
        with pytest.raises(LostClaimError, match=rf"another run has taken it meanwhile.*\({tmp_path}\)"):
            add(workspace, "two")
    assert names(workspace) == [".manifests", "1"]
    with claimed(workspace):
        assert add(workspace, "two") == 2


def test_a_workspace_that_is_lost_while_a_version_is_copied_gets_no_version(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with claimed(workspace), pytest.raises(LostClaimError):
        add(workspace, "one", lambda: lose_lock(workspace))
    assert names(workspace) == []


def test_of_pushes_at_once_without_a_lock_the_last_to_begin_adds_a_version_of_its_own_files(tmp_path: Path) -> None:
    """As on a file system without locks: each push removes what looks like leftovers, namely the others' copies."""
    root = str(tmp_path / "store")
    write = storage.write_text

    def first(folder: str) -> None:
        write(os.path.join(folder, "saved_model.pb"), "first")
        with pytest.raises(OSError, match="no room"):
            add_version(root, failing, Manifest())
        add_version(root, last, Manifest())
        write(os.path.join(folder, "more"), "first")

    def failing(folder: str) -> None:
        raise OSError("no room")

    def last(folder: str) -> None:
        write(os.path.join(folder, "saved_model.pb"), "last")

    with pytest.raises(LostClaimError, match="another has removed this one's copy"):
        add_version(root, first, Manifest())
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [".manifests", "1"]
    assert (tmp_path / "store" / "1" / "saved_model.pb").read_text() == "last"
    assert set(verify(f"{root}/1")) == {"saved_model.pb"}


def test_a_push_whose_copy_was_removed_while_it_copied_has_lost_the_workspace(tmp_path: Path) -> None:
    root = str(tmp_path / "store")

    def copy(folder: str) -> None:
        add_version(root, lambda other: None, Manifest())
        (Path(folder) / "saved_model.pb").write_text("first")

    with pytest.raises(LostClaimError, match="another has removed this one's copy"):
        add_version(root, copy, Manifest())
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [".manifests", "1"]


def test_a_push_that_fails_removes_its_own_copy_alone(tmp_path: Path) -> None:
    root = str(tmp_path / "store")

    def failing(folder: str) -> None:
        (tmp_path / "store" / ".part-1.of-another").mkdir()
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        add_version(root, failing, Manifest())
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".part-1.of-another"]


@pytest.mark.parametrize("by", [claimed, node("push")], ids=["run", "node"])
def test_a_node_is_fenced_off_by_a_run_and_by_the_same_node(tmp_path: Path, by: Claim) -> None:
    workspace = Workspace.at(tmp_path)
    with node_claimed(workspace, "store", "push"):
        (tmp_path / ".locks" / "push").unlink()
        lose_lock(workspace, by)
        with pytest.raises(LostClaimError):
            add(workspace, "one")
    assert versions(str(workspace.serving("store"))) == []


def test_a_node_is_not_fenced_off_by_other_nodes(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with node_claimed(workspace, "store", "push"):
        lose_lock(workspace, node("trainer"))
        assert add(workspace, "one") == 1


def test_a_run_is_fenced_off_by_any_node(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with claimed(workspace):
        lose_lock(workspace, node("trainer"))
        with pytest.raises(LostClaimError):
            add(workspace, "one")


def test_a_rollback_needs_no_claim(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with claimed(workspace):
        assert [add(workspace, text) for text in ("one", "two")] == [1, 2]
    assert roll_back(str(workspace.serving("store")), "a test") == 3


def test_what_lost_the_workspace_leaves_the_temporary_files_of_what_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # restores both afterwards; claims that end in this order do not
    monkeypatch.setattr(tempfile, "tempdir", None)
    workspace = Workspace.at(tmp_path / "workspace")
    with contextlib.ExitStack() as other:
        with claimed(workspace):
            (workspace.root / ".lock").unlink()
            other.enter_context(claimed(workspace))
            (workspace.temporary / "of-the-other").touch()
        assert (workspace.temporary / "of-the-other").exists()
    assert not workspace.temporary.exists()


def test_a_clean_up_that_lost_the_workspace_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.at(tmp_path)
    log = workspace.logs / "a.log"
    log.parent.mkdir()
    log.touch()
    os.utime(log, (-1, -1))  # older than the oldest run; without a run, older than 1970
    found = Path.exists

    def lost_meanwhile(path: Path) -> bool:
        if path == log:
            monkeypatch.undo()
            lose_lock(workspace)
        return found(path)

    monkeypatch.setattr(Path, "exists", lost_meanwhile)
    with pytest.raises(LostClaimError):
        collect_garbage(workspace, 1, dry_run=False)
    assert log.exists()
