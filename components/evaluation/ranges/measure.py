"""Measures scored files: all rows at once if they are few, else by ranges, on workers where there are any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from components.evaluation import measuring
from components.evaluation.column_extractor import ScoringTask
from components.evaluation.measuring import Measured, SliceKey, State
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.plan import Plan
from components.evaluation.ranges import cuts, files
from components.evaluation.ranges.files import ColumnsFile
from components.evaluation.ranges.work import CutFiles, CutTask, Division, MeasureRanges, RangeTask, write_arounds
from components.evaluation.scoring.columns import concatenated
from components.evaluation.scoring.kept_scores import ModelScores, read_scores
from components.examples.file_work import FileWork

#: The rows of a range, about. The rows of one score, or of one group, are in one range however many they are.
ROWS_PER_RANGE = 1 << 17

#: Does work on tasks.
Do = Callable[[FileWork, Sequence[Any]], None]


def measure(
    scored: Sequence[ScoringTask],
    plan: Plan,
    scores: ModelScores,
    evaluation: str,
    scratch: str,
    do: Do,
    rows_per_range: int = ROWS_PER_RANGE,
) -> list[Measured]:
    """Keeps the scores of files of examples, and measures all examples.

    Memory grows with `rows_per_range` and with a file's rows, by about 400 bytes a row; with the slices' values, by
    70 KB for each model of one; and, 8 bytes, with a file's ranges.

    Args:
      scored: The files, in their order, which are done.
      plan: What is measured.
      scores: The scores that an earlier evaluation has kept.
      evaluation: The folder of the evaluation's results.
      scratch: A folder for files of this function.
      do: Does work, on workers or here.
      rows_per_range: The rows that are measured at once, about.

    Returns:
      The metrics and plots of all examples, and of those of each slice; empty without examples.
    """
    read = _Scored(scored, plan)
    if not read.num_rows:
        return []
    kept = scores.keep(evaluation, read.num_rows, read.scores)
    columns = read.files(kept)
    if read.num_rows <= rows_per_range:
        state = measuring.sum_all(concatenated([file.read(plan) for file in columns]), plan)
    else:
        num_ranges = -(-read.num_rows // rows_per_range)
        state = _sum_ranges(columns, plan, _divisions(plan, kept, columns, num_ranges), scratch, do)
    return [(read.value_of(key), measuring.results(state[key], plan)) for key in sorted(state, key=read.place)]


class _Scored:
    """What scored files have together.

    Attributes:
      num_rows: The number of their rows.
    """

    def __init__(self, tasks: Sequence[ScoringTask], plan: Plan):
        self._tasks, self._plan = tasks, plan
        self._values: dict[str, dict[Any, int]] = {name: {} for name in plan.slices}
        self._numbers: list[dict[str, Array]] = []
        self._sizes: list[int] = []
        for task in tasks:
            of_file, values = files.read_file_scores(task.scores, plan)
            self._sizes.append(len(of_file))
            self._numbers.append({name: self._number(name, of_slice) for name, of_slice in values.items()})
        self._names = {name: list(values) for name, values in self._values.items()}
        self.num_rows = sum(self._sizes)

    def _number(self, name: str, values: Sequence[Any]) -> Array:
        known = self._values[name]
        return np.array([known.setdefault(value, len(known)) for value in values], np.int64)

    def scores(self) -> Iterator[Array]:
        """Yields the computed scores of each file, float32 `[some, num_models]`."""
        return (files.read_file_scores(task.scores, self._plan)[0] for task in self._tasks)

    def files(self, kept: Sequence[str]) -> list[ColumnsFile]:
        """Returns the files' columns, given the files of each model's scores."""
        stops = np.cumsum(self._sizes).tolist()
        return [
            ColumnsFile(task.columns, kept, stop - size, stop, numbers)
            for task, size, stop, numbers in zip(self._tasks, self._sizes, stops, self._numbers, strict=True)
        ]

    def place(self, key: SliceKey) -> tuple[int, int]:
        """Returns the place of a slice among all: first all rows, then by the plan, then in the order of the rows."""
        return max(((self._plan.slices.index(name), number) for name, number in key), default=(-1, 0))

    def value_of(self, key: SliceKey) -> SliceKey:
        """Returns TFMA's key of a slice whose value is a number."""
        return tuple((name, self._names[name][number]) for name, number in key)


def _divisions(plan: Plan, kept: Sequence[str], columns: Sequence[ColumnsFile], num_ranges: int) -> list[Division]:
    """Returns the divisions that all metrics need together."""
    found: list[Division] = [Division(None, num_ranges)]
    found += [Division(feature, num_ranges) for feature in plan.rankings]
    for model, path in enumerate(kept):
        buckets = sum(cuts.histogram(read_scores(path, file.start, file.stop)) for file in columns)
        of_model = cuts.score_cuts(np.asarray(buckets), num_ranges)
        found.append(Division(model, len(of_model) + 1, of_model))
    return found


def _sum_ranges(
    columns: Sequence[ColumnsFile], plan: Plan, divisions: Sequence[Division], scratch: str, do: Do
) -> State:
    """Returns the sums over all rows."""
    cut = [CutTask(file, os.path.join(scratch, f"pieces-{at}")) for at, file in enumerate(columns)]
    do(CutFiles(plan, divisions), cut)
    work = MeasureRanges(plan, [task.pieces for task in cut])
    tasks: dict[int | str | None, list[RangeTask]] = {}
    for division in divisions:
        first = sum(map(len, tasks.values()))
        pieces = range(first, first + division.num_ranges)
        tasks[division.of] = [RangeTask(division.of, at, os.path.join(scratch, f"sums-{at}")) for at in pieces]
    do(work, [task for of_division in tasks.values() for task in of_division])
    state: State = {}
    areas: list[RangeTask] = []
    for of, of_division in tasks.items():
        states = [task.state for task in of_division]
        if isinstance(of, int):
            arounds = [f"{path}-around" for path in states]
            measuring.add(state, write_arounds(states, arounds, plan, of))
            areas += [
                RangeTask(of, task.piece, f"{task.state}-areas", around)
                for task, around in zip(of_division, arounds, strict=True)
            ]
        else:
            measuring.add(state, files.read_sum(states, plan))
    do(work, areas)
    measuring.add(state, files.read_sum([task.state for task in areas], plan))
    return state
