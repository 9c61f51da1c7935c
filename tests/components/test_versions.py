"""The store of versions: complete or absent, numbered, and verified."""

from __future__ import annotations

import datetime
import hashlib
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from components import storage
from components.model_store.manifest import Manifest, Metrics, read_manifest
from components.model_store.versions import (
    add_version,
    checksums,
    damage,
    history,
    remove_version,
    verify,
    versions,
)
from tests.components.endless_changes import FILES
from tests.components.serving_folder import add, edit_manifest, place
from transform.files.version_layout import DamagedVersionError


def test_versions_grow_by_one(root: str) -> None:
    assert versions(root) == []
    assert [add(root) for _ in range(3)] == [1, 2, 3]
    assert versions(root) == [1, 2, 3]
    assert storage.names(root) == [".manifests", "1", "2", "3"]
    assert storage.files(place(root, 2)) == sorted([*FILES, "assets.extra/manifest.json"])


def test_versions_are_sorted_as_numbers_and_nothing_else_counts(root: str) -> None:
    for name in ("9", "10", ".part-11", ".gone-1", "old", "2"):
        storage.write_text(f"{root}/{name}/file", "")
    assert versions(root) == [2, 9, 10]


def test_the_next_version_is_above_the_highest_though_one_is_gone(root: str) -> None:
    for _ in range(3):
        add(root)
    storage.remove(place(root, 2))
    assert add(root) == 4
    assert versions(root) == [1, 3, 4]


def test_a_version_whose_writing_fails_leaves_nothing(root: str) -> None:
    add(root)

    def fill(folder: str) -> None:
        storage.write_text(f"{folder}/variables/half", "half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        add_version(root, fill, Manifest())
    assert storage.names(root) == [".manifests", "1"]
    assert add(root) == 2


def test_what_a_killed_process_left_is_no_version_and_is_cleared(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root)
    for name in (".part-2", ".part-7", ".gone-4"):
        storage.write_text(f"{root}/{name}/variables/stray", "half")
    assert versions(root) == [1]
    assert add(root) == 2
    assert storage.names(root) == [".manifests", "1", "2"]


def test_on_a_remote_filesystem_a_half_written_version_is_marked_and_cleared(tmp_path: Path) -> None:
    root = f"ram://{tmp_path}/half"
    add(root)
    storage.write_text(f"{root}/.part-2", "")
    storage.write_text(f"{root}/2/saved_model.pb", "half")
    assert versions(root) == [1]
    assert add(root) == 2
    assert storage.names(root) == [".manifests", "1", "2"]
    verify(place(root, 2))


def test_the_manifest_has_what_is_given_and_the_checksum_of_every_file(root: str) -> None:
    before = time.time()
    add(root, model_uri="m1", spans=[1])
    manifest = read_manifest(place(root, 1))
    sums = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in FILES.items()}
    pushed_at = manifest.pushed_at
    assert manifest == Manifest(version=1, model_uri="m1", spans=(1,), sha256=sums, pushed_at=pushed_at)
    assert pushed_at is not None
    assert before - 1 <= datetime.datetime.fromisoformat(pushed_at).timestamp() <= time.time()
    assert verify(place(root, 1)) == checksums(place(root, 1)) == sums


def rename_model(path: str) -> None:
    storage.remove(f"{path}/saved_model.pb")
    storage.write_text(f"{path}/new", "")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: storage.remove(f"{path}/saved_model.pb"), "saved_model.pb is missing"),
        (
            lambda path: storage.write_text(f"{path}/variables/variables.index", "other"),
            "variables/variables.index was changed",
        ),
        (lambda path: storage.write_text(f"{path}/vocabulary/words", "new"), "vocabulary/words was added"),
        (rename_model, "saved_model.pb is missing, new was added"),
    ],
)
def test_a_version_that_is_not_as_it_was_pushed_is_told_in_a_sentence(root: str, harm: Any, sentence: str) -> None:
    add(root)
    harm(place(root, 1))
    with pytest.raises(DamagedVersionError) as error:
        verify(place(root, 1))
    assert str(error.value) == (
        f"a version's files must be those that were pushed. Received: {sentence} ({place(root, 1)})"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries["metrics"]["candidate"].update(auc=0.9),
        lambda entries: entries["spans"].append(2),
        lambda entries: entries.update(run_id="monday"),
        lambda entries: entries.pop("metrics"),
    ],
)
def test_a_manifest_that_is_not_as_it_was_pushed_is_told_in_a_sentence(root: str, change: Any) -> None:
    add(root, spans=(1,), metrics=Metrics({"auc": 0.7, "gauc": math.nan}))
    assert damage(root, 1) == ""
    edit_manifest(place(root, 1), change)
    with pytest.raises(DamagedVersionError) as error:
        verify(place(root, 1))
    rule = (
        "a version's manifest must be the one that it was pushed with, with the same metrics, spans and other entries"
    )
    assert str(error.value) == f"{rule}. Received: another one ({place(root, 1)}/assets.extra/manifest.json)"
    assert damage(root, 1) == str(error.value)
    remove_version(root, 1)
    assert damage(root, 1) == f"{rule}. Received: another one ({root}/.removed/1.json)"


def test_a_manifest_without_a_digest_counts_as_unchanged(root: str) -> None:
    """As of a version that release 0.2.0 pushed."""
    add(root, spans=(1,))
    storage.remove(f"{root}/.manifests")
    edit_manifest(place(root, 1), lambda entries: entries.update(spans=[2]))
    assert verify(place(root, 1)) == checksums(place(root, 1))
    assert damage(root, 1) == ""


def test_a_version_that_was_removed_unchanged_has_no_damage(root: str) -> None:
    add(root, spans=(1,), run_id="Zürich")
    remove_version(root, 1)
    assert damage(root, 1) == ""
    assert history(root)[1].run_id == "Zürich"


def test_a_version_with_a_pipe_is_refused_before_any_file_is_read(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root)
    os.mkfifo(tmp_path / "1" / "variables" / "pipe")
    with pytest.raises(DamagedVersionError) as error:
        verify(place(root, 1))
    assert str(error.value) == (f"a version must have regular files only. Received: variables/pipe ({place(root, 1)})")


def test_a_version_without_a_manifest_or_with_half_of_one_is_told(root: str) -> None:
    storage.write_text(f"{root}/5/saved_model.pb", "by hand")
    assert read_manifest(place(root, 5)) == Manifest()
    with pytest.raises(DamagedVersionError, match="must have a manifest with checksums"):
        verify(place(root, 5))
    storage.write_text(f"{root}/5/assets.extra/manifest.json", '{"sha')
    with pytest.raises(DamagedVersionError, match="a manifest must be JSON"):
        verify(place(root, 5))
