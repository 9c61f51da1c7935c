"""All versions in a serving folder are complete while processes change it, are killed, and others read it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from components import storage
from components.model_store.manifest import read_manifest
from components.model_store.retention import pin, pins, remove_old, unpin
from components.model_store.rollback import roll_back
from components.model_store.versions import locked, verify, versions
from tests.components.endless_changes import FILES
from tests.components.serving_folder import add, place
from transform.files.version_layout import DamagedVersionError

ROOT = Path(__file__).parents[2]


class Watcher(threading.Thread):
    """Lists the versions continuously, and reads the highest like a model server: all must be complete."""

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
        # A version removed during the check is removed atomically, so its folder is gone too.
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


@pytest.mark.parametrize(
    "change", [lambda root: pin(root, 1, ""), lambda root: unpin(root, 2), lambda root: roll_back(root, "a test")]
)
def test_what_changes_the_folder_waits_for_a_push(root: str, change: Any) -> None:
    add(root)
    add(root)
    pin(root, 2, "")
    thread = threading.Thread(target=change, args=[root])
    with locked(root):  # like a push
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
        assert read_manifest(place(root, version)).rollback_of == version - 1
