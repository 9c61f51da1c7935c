"""The store of versions: whole or not at all, verified, restored, kept and removed."""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components import storage
from components.pins import pin, pins, unpin
from components.retention import remove_old
from components.rollback import roll_back
from components.versions import (
    DamagedVersionError,
    add_version,
    checksums,
    history,
    locked,
    read_manifest,
    remove_version,
    verify,
    versions,
)
from tests.components.endless_changes import FILES
from tests.components.saved_models import export
from transform.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A serving folder on this machine, and one on a filesystem that only TensorFlow knows."""
    return str(tmp_path / "serving" / "m") if request.param == "local" else f"ram://{tmp_path}/serving/m"


def add(root: str, text: str = "", **manifest: Any) -> int:
    """Adds a version whose files all have `text` in them."""

    def fill(folder: str) -> None:
        for name, content in FILES.items():
            storage.write_text(os.path.join(folder, name), content + text)

    return add_version(root, fill, manifest)


def place(root: str, version: int) -> str:
    return f"{root}/{version}"


def test_versions_grow_by_one(root: str) -> None:
    assert versions(root) == []
    assert [add(root) for _ in range(3)] == [1, 2, 3]
    assert versions(root) == [1, 2, 3]
    assert storage.names(root) == ["1", "2", "3"]
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
        add_version(root, fill, {})
    assert storage.names(root) == ["1"]
    assert add(root) == 2


def test_what_a_killed_process_left_is_no_version_and_is_cleared(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root)
    for name in (".part-2", ".part-7", ".gone-4"):
        storage.write_text(f"{root}/{name}/variables/stray", "half")
    assert versions(root) == [1]
    assert add(root) == 2
    assert storage.names(root) == ["1", "2"]


def test_on_a_remote_filesystem_a_half_written_version_is_marked_and_cleared(tmp_path: Path) -> None:
    root = f"ram://{tmp_path}/half"
    add(root)
    storage.write_text(f"{root}/.part-2", "")
    storage.write_text(f"{root}/2/saved_model.pb", "half")
    assert versions(root) == [1]
    assert add(root) == 2
    assert storage.names(root) == ["1", "2"]
    verify(place(root, 2))


def test_the_manifest_has_what_is_given_and_the_checksum_of_every_file(root: str) -> None:
    before = time.time()
    add(root, model_uri="m1", spans=[1])
    manifest = read_manifest(place(root, 1))
    sums = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in FILES.items()}
    pushed_at = manifest.pop("pushed_at")
    assert manifest == {"version": 1, "model_uri": "m1", "spans": [1], "sha256": sums}
    assert before - 1 <= datetime.datetime.fromisoformat(pushed_at).timestamp() <= time.time()
    assert verify(place(root, 1)) == checksums(place(root, 1)) == sums


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: storage.remove(f"{path}/saved_model.pb"), "saved_model.pb is missing"),
        (
            lambda path: storage.write_text(f"{path}/variables/variables.index", "other"),
            "variables/variables.index was changed",
        ),
        (lambda path: storage.write_text(f"{path}/vocabulary/words", "new"), "vocabulary/words was added"),
        (
            lambda path: (storage.remove(f"{path}/saved_model.pb"), storage.write_text(f"{path}/new", "")),
            "saved_model.pb is missing, new was added",
        ),
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


def test_a_version_without_a_manifest_or_with_half_of_one_is_told(root: str) -> None:
    storage.write_text(f"{root}/5/saved_model.pb", "by hand")
    assert read_manifest(place(root, 5)) == {}
    with pytest.raises(DamagedVersionError, match="must have a manifest with checksums"):
        verify(place(root, 5))
    storage.write_text(f"{root}/5/assets.extra/manifest.json", '{"sha')
    with pytest.raises(DamagedVersionError, match="a manifest must be JSON"):
        verify(place(root, 5))


def test_a_rollback_is_a_new_version_with_the_files_of_the_one_before(root: str) -> None:
    for text in ("one", "two"):
        add(root, text, model_uri=text, spans=[1])
    assert roll_back(root, "two is bad") == 3
    manifest = read_manifest(place(root, 3))
    assert verify(place(root, 3)) == verify(place(root, 1)) != verify(place(root, 2))
    del manifest["pushed_at"], manifest["sha256"]
    assert manifest == {
        "version": 3,
        "model_uri": "one",
        "spans": [1],
        "rollback_of": 2,
        "restores": 1,
        "rollback_by": getpass.getuser(),
        "rollback_reason": "two is bad",
    }


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
    assert [read_manifest(place(root, version))["restores"] for version in (4, 5)] == [2, 1]
    with pytest.raises(InputError, match="there must be a version below 1 to go back to"):
        roll_back(root, "a test")
    assert roll_back(root, "three was good after all", to=3) == 6
    assert verify(place(root, 6)) == verify(place(root, 3))


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


def test_a_pin_is_listed_with_its_reason_and_taken_away(root: str) -> None:
    for _ in range(3):
        add(root)
    assert pins(root) == {}
    pin(root, 2, "the audit of May")
    pin(root, 1, "")
    assert pins(root) == {1: "", 2: "the audit of May"}
    unpin(root, 1)
    assert pins(root) == {2: "the audit of May"}
    with pytest.raises(InputError, match=r"a version to unpin must be one of \[2\]. Received: 1"):
        unpin(root, 1)
    with pytest.raises(InputError, match=r"a version to pin must be one of \[1, 2, 3\]. Received: 4"):
        pin(root, 4, "")


def test_retention_keeps_the_highest_the_pinned_and_what_a_kept_rollback_restores(root: str) -> None:
    for text in "abcdefg":
        add(root, text, model_uri=text)
    pin(root, 2, "a test")
    roll_back(root, "a test", to=4)  # version 8
    assert remove_old(root, keep=3) == [1, 3, 5]
    assert versions(root) == [2, 4, 6, 7, 8]
    assert remove_old(root, keep=1) == [6, 7]
    assert versions(root) == [2, 4, 8]
    for version in versions(root):
        verify(place(root, version))
    unpin(root, 2)
    add(root, "i", model_uri="i")
    assert remove_old(root, keep=1) == [2, 4, 8]
    assert versions(root) == [9]
    assert {v: m["model_uri"] for v, m in history(root).items()} == dict(zip(range(1, 10), "abcdefgdi", strict=True))


def test_there_is_nothing_to_remove_from_few_versions_or_none(root: str) -> None:
    assert remove_old(root, keep=1) == []
    add(root)
    add(root)
    assert remove_old(root, keep=2) == []


class Watcher(threading.Thread):
    """Lists the versions without a pause, and opens the highest as a model server does: all must be whole."""

    def __init__(self, root: Path):
        super().__init__(daemon=True)
        self._root = root
        self._end = threading.Event()
        self.problems: list[str] = []
        self.served: list[str] = []

    def run(self) -> None:
        while not self._end.is_set():
            found = sorted(int(p.name) for p in self._root.iterdir() if p.name.isdecimal())
            if not found:
                self.problems.append("no version")
                continue
            for version in found:
                self._look(str(self._root / str(version)), serves=version == found[-1])

    def _look(self, folder: str, *, serves: bool) -> None:
        names = storage.files(folder)
        whole = names == sorted([*FILES, "assets.extra/manifest.json"])
        if whole and serves and folder not in self.served:
            self.served.append(folder)
            try:
                verify(folder)
            except DamagedVersionError:
                whole = False
        # A version that went while it was looked at went as a whole: then its folder is gone too.
        if not whole and os.path.exists(folder):
            self.problems.append(f"{folder} has {names}")

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()


def test_a_watcher_never_sees_a_missing_or_half_version(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root)
    with Watcher(tmp_path) as watcher:
        while len(watcher.served) < 10 and not watcher.problems and watcher.is_alive():
            add(root)
            roll_back(root, "a test")
            remove_old(root, keep=2)
    assert watcher.problems == []
    assert len(watcher.served) >= 10


@pytest.mark.slow
def test_whoever_is_killed_leaves_whole_versions_that_the_next_one_goes_on_from(tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    add(root)
    rng = random.Random(1)
    with Watcher(tmp_path / "m") as watcher:
        for _ in range(8):
            highest = versions(root)[-1] + rng.randrange(1, 6)
            process = subprocess.Popen([sys.executable, "-m", "tests.components.endless_changes", root], cwd=ROOT)
            while versions(root)[-1] < highest:
                assert process.poll() is None
            process.kill()
            process.wait()
            for version in versions(root):
                verify(place(root, version))
    assert watcher.problems == []
    before = versions(root)
    assert add(root) == before[-1] + 1
    assert not [name for name in storage.names(root) if name.startswith((".part-", ".gone-"))]


@pytest.fixture
def big_model(tmp_path: Path) -> Path:
    """A SavedModel, with a file beside its own that is as large as a real model's variables."""
    folder = export("good", tmp_path / "model") / "Format-Serving"
    block = os.urandom(1 << 20)
    with (folder / "assets" / "table").open("wb") as file:
        for _ in range(200):
            file.write(block)
    return folder


def test_a_rollback_serves_within_two_seconds(big_model: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "serving")
    for _ in range(2):
        add_version(root, lambda folder: storage.copy_folder(str(big_model), folder), {})
    started = time.monotonic()
    version = roll_back(root, "a test")
    seconds = time.monotonic() - started
    assert seconds < 2
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(0.0)
    signature = tf.saved_model.load(place(root, version)).signatures["serving_default"]
    assert signature(tf.constant([example.SerializeToString()]))["scores"].numpy().tolist() == [0.5]


def test_a_killed_rollback_leaves_what_served(tmp_path: Path) -> None:
    """Up to its rename there is only a hidden folder."""
    root = str(tmp_path)
    add(root, "one")
    add(root, "two")
    storage.copy_folder(f"{root}/1", f"{root}/.part-3", link=True)
    assert versions(root) == [1, 2]
    assert roll_back(root, "a test") == 3
    verify(place(root, 3))
    assert json.loads((tmp_path / "1" / "assets.extra" / "manifest.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    "change", [lambda root: pin(root, 1, ""), lambda root: unpin(root, 2), lambda root: roll_back(root, "a test")]
)
def test_what_changes_the_folder_waits_for_a_push(root: str, change: Any) -> None:
    add(root)
    add(root)
    pin(root, 2, "")
    thread = threading.Thread(target=change, args=[root])
    with locked(root):  # as a push does
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        assert (versions(root), pins(root)) == ([1, 2], {2: ""})
    thread.join()
    assert (versions(root), pins(root)) != ([1, 2], {2: ""})


def test_many_at_once_each_add_a_version(root: str) -> None:
    add(root, "one")
    add(root, "two")
    threads = [threading.Thread(target=roll_back, args=[root, "a test", 1]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(root) == list(range(1, 9))
    for version in range(3, 9):
        assert verify(place(root, version)) == verify(place(root, 1))
        assert read_manifest(place(root, version))["rollback_of"] == version - 1
