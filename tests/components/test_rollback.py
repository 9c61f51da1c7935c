"""A rollback adds a new version with the files of an earlier one."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

import pytest
import tensorflow as tf

from components import storage
from components.model_store.manifest import Manifest, Metrics, read_manifest
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version, remove_version, verify, versions
from tests.components.endless_changes import FILES
from tests.components.saved_models import export
from tests.components.serving_folder import add, edit_manifest, place
from transform.errors import InputError
from transform.files.version_layout import DamagedVersionError


def test_a_rollback_is_a_new_version_with_the_files_of_the_one_before(root: str) -> None:
    for text in ("one", "two"):
        add(root, text, model_uri=text, spans=[1])
    assert roll_back(root, "two is bad") == 3
    manifest = read_manifest(place(root, 3))
    assert verify(place(root, 3)) == verify(place(root, 1)) != verify(place(root, 2))
    assert manifest == Manifest(
        version=3,
        model_uri="one",
        spans=(1,),
        pushed_at=manifest.pushed_at,
        sha256=verify(place(root, 3)),
        rollback_of=2,
        restores=1,
        rollback_by=getpass.getuser(),
        rollback_reason="two is bad",
    )


def test_a_rollback_costs_no_room_on_a_local_disk(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root, "one")
    add(root, "two")
    roll_back(root, "a test")
    for name in FILES:
        assert os.path.samefile(f"{root}/1/{name}", f"{root}/3/{name}")
    remove_version(root, 1)
    verify(place(root, 3))


def test_twice_back_is_two_versions_back(root: str) -> None:
    for text in ("one", "two", "three"):
        add(root, text)
    assert [roll_back(root, "a test"), roll_back(root, "a test")] == [4, 5]
    assert [read_manifest(place(root, version)).restores for version in (4, 5)] == [2, 1]
    with pytest.raises(InputError, match="there must be a version below 1 to go back to"):
        roll_back(root, "a test")
    assert roll_back(root, "three was good after all", to=3) == 6
    assert verify(place(root, 6)) == verify(place(root, 3))


def test_a_version_with_another_manifest_than_at_its_push_is_not_restored(root: str) -> None:
    add(root, "one", metrics=Metrics({"auc": 0.7}))
    add(root, "two")
    edit_manifest(place(root, 1), lambda entries: entries["metrics"]["candidate"].update(auc=0.9))
    with pytest.raises(DamagedVersionError, match="manifest must be the one that it was pushed with"):
        roll_back(root, "two is bad")
    assert versions(root) == [1, 2]


@pytest.mark.parametrize(
    ("reason", "to", "sentence"),
    [
        ("  ", None, "a rollback must have a reason"),
        ("a test", 2, "a version to go back to must be one of [1]. Received: 2"),
        ("a test", 7, "a version to go back to must be one of [1]. Received: 7"),
    ],
)
def test_a_rollback_that_cannot_be_done_is_told(root: str, reason: str, to: int | None, sentence: str) -> None:
    add(root)
    add(root)
    with pytest.raises(InputError) as error:
        roll_back(root, reason, to)
    assert sentence in str(error.value)
    assert versions(root) == [1, 2]


def test_nothing_to_roll_back(root: str) -> None:
    with pytest.raises(InputError, match="nothing was pushed yet"):
        roll_back(root, "a test")


def test_a_damaged_version_is_not_restored(root: str) -> None:
    add(root, "one")
    add(root, "two")
    storage.remove(f"{root}/1/saved_model.pb")
    with pytest.raises(DamagedVersionError, match=r"saved_model\.pb is missing"):
        roll_back(root, "a test")
    assert versions(root) == [1, 2]


@pytest.fixture
def big_model(tmp_path: Path) -> Path:
    """A SavedModel with an additional file that is as large as a real model's variables."""
    folder = export("good", tmp_path / "model") / "Format-Serving"
    block = os.urandom(1 << 20)
    with (folder / "assets" / "table").open("wb") as file:
        for _ in range(200):
            file.write(block)
    return folder


def test_a_rollback_of_a_large_model_links_its_files_and_serves(big_model: Path, tmp_path: Path) -> None:
    """So it takes no time in proportion to the model but that of its checksums."""
    root = str(tmp_path / "serving")
    for _ in range(2):
        add_version(root, lambda folder: storage.copy_folder(str(big_model), folder), Manifest())
    version = roll_back(root, "a test")
    assert Path(place(root, version), "assets", "table").samefile(Path(place(root, 1), "assets", "table"))
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(0.0)
    signature = tf.saved_model.load(place(root, version)).signatures["serving_default"]
    assert signature(tf.constant([example.SerializeToString()]))["scores"].numpy().tolist() == [0.5]


def test_a_killed_rollback_leaves_what_served(tmp_path: Path) -> None:
    """Before its rename, a rollback has only made a hidden folder."""
    root = str(tmp_path)
    add(root, "one")
    add(root, "two")
    storage.copy_folder(f"{root}/1", f"{root}/.part-3", link=True)
    assert versions(root) == [1, 2]
    assert roll_back(root, "a test") == 3
    verify(place(root, 3))
    assert json.loads((tmp_path / "1" / "assets.extra" / "manifest.json").read_text())["version"] == 1
