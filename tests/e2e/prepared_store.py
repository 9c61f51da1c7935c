"""A store of two days for testing the gates: the first day was pushed, the second was trained."""

from __future__ import annotations

import csv
import dataclasses
import random
import shutil
from pathlib import Path

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process

CONFIG = store.ROOT / "tests" / "e2e" / "guarded_store.yaml"
NAME = "guarded_store"
NUM_IMPRESSIONS = 16_000

_SERVING = "serving"

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[Row]) -> None:
    """Writes a CSV file with the columns of its first row."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@dataclasses.dataclass(frozen=True)
class PreparedStore:
    """The data, and the workspace, in which the second day's run was killed after it had trained its model.

    Attributes:
      folder: Contains `data/` and `workspace/`, and their copies below `prepared/`.
    """

    folder: Path

    @classmethod
    def prepare(cls, folder: Path) -> PreparedStore:
        """Simulates the days, runs the first and starts the second; takes some minutes."""
        prepared = cls(folder)
        store.simulate(prepared.data, days=2, impressions=NUM_IMPRESSIONS)
        for day in (1, 2):
            add_seconds_open(prepared.file("impressions", day), random.Random(day))
        ok_in_process(*store.run_arguments(prepared.data, prepared.workspace, 1, CONFIG))
        assert store.versions(prepared.workspace, NAME) == [1]
        arguments, log = store.run_arguments(prepared.data, prepared.workspace, 2, CONFIG), folder / "log"
        store.kill_when(arguments, log, lambda: "✓ trainer" in log.read_text(), timeout_seconds=900)
        for name in (prepared.data.name, prepared.workspace.name):
            shutil.copytree(folder / name, folder / "prepared" / name)
        return prepared

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def serving(self) -> Path:
        """The folder of versions."""
        return self.workspace / _SERVING / NAME

    def file(self, source: str, day: int = 2) -> Path:
        """A source's file for a day."""
        return self.data / source / f"day-{day}" / "part-00000.csv"

    def put_back(self, *, with_serving: bool = False) -> None:
        """Restores everything in the same place, because TFX stores absolute paths.

        Args:
          with_serving: Also restore the serving folder; otherwise it is kept, since a run that pushes nothing must
            not change it.
        """
        left_out = "" if with_serving else _SERVING
        shutil.rmtree(self.data)
        shutil.copytree(self.folder / "prepared" / "data", self.data)
        for path in self.workspace.iterdir():
            if path.is_dir() and path.name != left_out:
                shutil.rmtree(path)
        prepared, ignored = self.folder / "prepared" / "workspace", shutil.ignore_patterns(left_out)
        shutil.copytree(prepared, self.workspace, dirs_exist_ok=True, ignore=ignored)


def add_seconds_open(log: Path, rng: random.Random) -> None:
    """Adds the time that an app's page had been open when the log was written, which is independent of the label."""
    write_rows(log, [{**row, "seconds_open": f"{rng.expovariate(1 / 10):.1f}"} for row in read_rows(log)])
