"""A run that is killed completes when it is started again, and never harms what serves."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from components.versions import EXTRA_ASSETS, MANIFEST_FILE, PART_PREFIX, checksums, read_manifest
from tests.e2e import store

pytestmark = pytest.mark.slow


class Watcher(threading.Thread):
    """Looks at the serving folder every 10 ms: every version there must be whole, and none may go."""

    def __init__(self, folder: Path):
        super().__init__(daemon=True)
        self._folder = folder
        self._end = threading.Event()
        self.seen: set[str] = set()
        self.problems: list[str] = []
        self.looks = 0

    def run(self) -> None:
        while not self._end.is_set():
            found = {p.name for p in self._folder.iterdir() if p.name.isdecimal()}
            self.problems += [f"version {name} went missing" for name in self.seen - found]
            for name in found - self.seen:
                version = self._folder / name
                if not (version / EXTRA_ASSETS / MANIFEST_FILE).exists():
                    self.problems.append(f"version {name} has no manifest")
                elif read_manifest(str(version))["sha256"] != checksums(str(version)):
                    self.problems.append(f"version {name} is not whole")
            self.seen |= found
            self.looks += 1
            time.sleep(0.01)

    def end(self) -> None:
        self._end.set()
        self.join()


@pytest.mark.parametrize("moment", ["transform", "trainer", "push copies", "push has renamed"])
def test_a_killed_run_completes_when_started_again(
    moment: str, first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    # A copy, since TFX keeps absolute paths: the first day's artifacts are read where they are, the rest is new.
    workspace, log = first_day[0].parent / f"killed-{moment.replace(' ', '-')}", tmp_path / "log"
    shutil.copytree(first_day[0], workspace)
    serving = workspace / "serving" / store.NAME
    before = set(store.versions(workspace))
    highest = max(before)
    arguments = store.run_arguments(data, workspace, 2)

    def printed(text: str) -> bool:
        return text in log.read_text()

    ready = {
        "transform": lambda: printed("transform …"),
        "trainer": lambda: printed("trainer: step"),
        "push copies": lambda: any(p.name.startswith(PART_PREFIX) for p in serving.iterdir()),
        "push has renamed": lambda: (serving / str(highest + 1)).exists(),
    }[moment]
    finished = {
        "transform": {"example_gen", "statistics_gen", "example_validator"},
        "trainer": {"example_gen", "statistics_gen", "transform"},
    }.get(moment, {"example_gen", "transform", "trainer", "evaluator", "infra_validation"})

    watcher = Watcher(serving)
    watcher.start()
    store.kill_when(arguments, log, ready)
    output = store.wdr_ok(*arguments)
    watcher.end()

    assert watcher.looks > 100
    assert watcher.problems == []
    assert set(store.versions(workspace)) == before | {highest + 1}  # one new version, not two
    assert finished <= store.cached(output)
    assert not any(p.name.startswith(PART_PREFIX) for p in serving.iterdir())
