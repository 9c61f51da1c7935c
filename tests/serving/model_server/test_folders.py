"""A folder without versions: an error where another one was probably meant, else the server waits for the first."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from serving.model_server.engine.models import ModelConfig
from serving.model_server.folders import check_folders
from serving.model_server.guard.background import BoundedReads
from transform.errors import UserError
from transform.files.version_layout import SAVED_MODEL_FILE


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a version of the model `store`, and the folders that runs make beside it."""
    folder = tmp_path / "runs" / "workspace"
    for name in ("artifacts/trainer/model/3", "checkpoints", "metadata", "serving/store/1"):
        (folder / name).mkdir(parents=True)
    (folder / "serving" / "store" / "1" / SAVED_MODEL_FILE).touch()
    return folder


def in_folder(models: Path) -> list[str]:
    """Checks `--models`; returns the models that wait for a version."""
    configs = [ModelConfig(path.name, str(path)) for path in sorted(models.iterdir()) if path.is_dir()]
    return _waiting(str(models), configs)


def named(path: Path) -> list[str]:
    """Checks `--model`."""
    return _waiting(None, [ModelConfig("store", str(path))])


def _waiting(models: str | None, configs: list[ModelConfig]) -> list[str]:
    return [config.name for config in asyncio.run(check_folders(models, configs, BoundedReads()))]


def test_folders_that_are_meant_are_taken(workspace: Path) -> None:
    assert in_folder(workspace / "serving") == []
    assert named(workspace / "serving" / "store") == []


def test_a_model_without_a_version_waits_for_one(workspace: Path, tmp_path: Path) -> None:
    (workspace / "serving" / "next").mkdir()
    assert in_folder(workspace / "serving") == ["next"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert in_folder(empty) == []
    assert named(empty) == ["store"]
    assert named(tmp_path / "later" / "store") == ["store"]


def test_another_level_than_that_of_models_is_told_with_the_right_one(workspace: Path) -> None:
    rule = "`--models` must be a folder of models, each of them a folder of versions. Received: "
    meant = f"none of whose folders has a version; give `--models {workspace}/serving`"
    for folder in (workspace, workspace.parent):
        with pytest.raises(UserError) as caught:
            in_folder(folder)
        assert str(caught.value) == f"{rule}{folder}, {meant}"
    store = workspace / "serving" / "store"
    with pytest.raises(UserError) as caught:
        in_folder(store)
    assert str(caught.value) == f"{rule}one model's folder of versions; give `--model store={store}` ({store})"


def test_a_workspace_before_its_first_push_is_told_too(workspace: Path) -> None:
    (workspace / "serving" / "store" / "1" / SAVED_MODEL_FILE).unlink()
    with pytest.raises(UserError, match=r"has no version yet; give `--models .*/workspace/serving`$"):
        in_folder(workspace)


def test_a_named_model_at_another_level_is_told_with_the_right_one(workspace: Path) -> None:
    store = workspace / "serving" / "store"
    rule = "the folder of the model 'store' must be a folder of versions. Received: "
    for folder, received in (
        (store / "1", f"the folder of one version, {store}/1; give {store}"),
        (workspace / "serving", f"{workspace}/serving, which has none; give {store}"),
        (workspace, f"{workspace}, which has none; give {store}"),
    ):
        with pytest.raises(UserError) as caught:
            named(folder)
        assert str(caught.value) == rule + received


def test_a_server_whose_folder_is_at_another_level_ends_with_the_sentence(workspace: Path) -> None:
    command = [sys.executable, "-m", "serving.model_server", "--grpc-port", "0", "--rest-port", "0"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [*command, "--models", str(workspace)], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: `--models` must be a folder of models, each of them a folder of versions. Received: "
        f"{workspace}, none of whose folders has a version; give `--models {workspace}/serving`"
    )
