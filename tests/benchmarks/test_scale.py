"""An interrupted measurement repeats the task that was running; a smaller first day has the same apps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pytest

from benchmarks import scale
from benchmarks.tasks import Task

NODES = ("example_gen", "trainer", "push")


class StandIn:
    """In place of `CompiledDays`: a task appends a line to a file; some are interrupted, before or after they write."""

    def __init__(self, workspace: Path, interrupted: Iterator[str | None]) -> None:
        self.workspace, self.planned, self.tasks = workspace, [(node,) for node in NODES], dict[int, list[Task]]()
        self._interrupted = interrupted
        self.ran: list[str] = []

    def run_next(self, day: int) -> None:
        nodes = self.planned[len(self.tasks[day])]
        how = next(self._interrupted)
        self.ran.append(nodes[0])
        if how == "before":
            raise KeyboardInterrupt
        with (self.workspace / "written").open("a") as file:
            file.write(f"{nodes[0]}\n")
        if how == "after":
            raise KeyboardInterrupt
        self.tasks[day].append(Task(nodes, 1.0, 2.0, 3.0, 4, 5))


def num_rows(folder: Path) -> int:
    return sum(pa_csv.read_csv(path).num_rows for path in folder.glob("*.csv"))


def catalog(data: Path) -> bytes:
    """The first day's table of apps."""
    (path,) = (data / "catalog" / "day-1").glob("*.csv")
    return path.read_bytes()


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("task", [0, 1, 2])
def test_an_interrupted_day_goes_on(tmp_path: Path, how: str, task: int) -> None:
    interrupted: list[str | None] = [None] * len(NODES)
    interrupted.insert(task, how)
    pipeline: Any = StandIn(tmp_path / "workspace", iter(interrupted))
    with pytest.raises(KeyboardInterrupt):
        scale._measure_day(pipeline, tmp_path, 1)
    assert [path.name for path in tmp_path.glob("before-*")] == [f"before-1-{task}"]
    scale._measure_day(pipeline, tmp_path, 1)

    assert pipeline.ran == [*NODES[: task + 1], *NODES[task:]]
    assert (pipeline.workspace / "written").read_text().split() == list(NODES)
    document = json.loads((tmp_path / "day-1.json").read_text())
    assert [found["nodes"] for found in document["tasks"]] == [[node] for node in NODES]
    assert document["bytes_before"] == 0
    assert document["kept"] == len("example_gen\ntrainer\npush\n")
    assert not list(tmp_path.glob("before-*"))
    scale._measure_day(pipeline, tmp_path, 1)  # nothing is left to do
    assert len(pipeline.ran) == len(NODES) + 1


def test_a_smaller_first_day_has_the_same_apps(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    scale._simulate(whole, 2000, 1, 2000)
    scale._simulate(part, 2000, 1, 100)
    scale._simulate(part, 2000, 2, 2000)
    assert [num_rows(part / "impressions" / day) for day in ("day-1", "day-2")] == [100, 2000]
    assert catalog(part) == catalog(whole)
