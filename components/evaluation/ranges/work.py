"""The work on files and on ranges (`components.examples.file_work.FileWork`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.evaluation import measuring
from components.evaluation.measuring import SliceKey, State
from components.evaluation.metrics.areas import Around
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.replicates import TOTALS, Drawn
from components.evaluation.plan import Plan
from components.evaluation.ranges import cuts, files
from components.evaluation.ranges.files import ColumnsFile
from components.evaluation.scoring.columns import Columns, concatenated

_ABOVE, _BELOW, _WEIGHTS = "above", "below", "weights"


@dataclasses.dataclass(frozen=True)
class Division:
    """A division of the rows into ranges.

    Attributes:
      of: The number of a model, by whose scores it is; or the feature by whose groups' hashes it is; or None, by units'
        hashes.
      num_ranges: The number of ranges.
      cuts: Of `components.evaluation.ranges.cuts.score_cuts`; None for hashes.
    """

    of: int | str | None
    num_ranges: int
    cuts: Array | None = None

    def pieces(self, columns: Columns) -> list[Columns]:
        """Returns the rows of each range, and of their columns those that are measured there."""
        if isinstance(self.of, int):
            assert self.cuts is not None
            numbers = cuts.score_ranges(columns.score[:, self.of], self.cuts)
            taken = dataclasses.replace(columns, score=columns.score[:, self.of : self.of + 1], group={})
        elif self.of is None:
            numbers = cuts.unit_ranges(columns.unit, self.num_ranges)
            taken = dataclasses.replace(columns, score=columns.score[:, :0], group={})
        else:
            hashes = columns.group[self.of]
            numbers = cuts.group_ranges(hashes, self.num_ranges)
            taken = dataclasses.replace(columns, group={self.of: hashes})
        return taken.split(numbers, self.num_ranges)


@dataclasses.dataclass(frozen=True)
class CutTask:
    """A file of columns that is cut into pieces; `pieces` is the file of those, whose folder exists."""

    columns: ColumnsFile
    pieces: str


@dataclasses.dataclass(frozen=True)
class CutFiles:
    """Cuts files into the pieces of all divisions, one division's ranges after the other's."""

    plan: Plan
    divisions: Sequence[Division]

    def begin(self) -> Callable[[CutTask], None]:
        """Returns the function that cuts a file; nothing is loaded."""
        return self._cut

    def _cut(self, task: CutTask) -> None:
        files.write_pieces(self._pieces(task.columns.read(self.plan)), task.pieces)

    def _pieces(self, columns: Columns) -> Iterator[Columns]:
        for division in self.divisions:
            yield from division.pieces(columns)


@dataclasses.dataclass(frozen=True)
class RangeTask:
    """A range that is measured.

    Attributes:
      of: `Division.of`.
      piece: The number of the range's piece in each file.
      state: The file of the range's sums; its folder exists.
      around: The file of what is around a range of scores, for its areas; None for all other sums.
    """

    of: int | str | None
    piece: int
    state: str
    around: str | None = None


@dataclasses.dataclass(frozen=True)
class MeasureRanges:
    """Measures ranges.

    Attributes:
      plan: What is measured.
      pieces: The files of pieces, in the order of the examples.
    """

    plan: Plan
    pieces: Sequence[str]

    def begin(self) -> Callable[[RangeTask], None]:
        """Returns the function that measures a range; nothing is loaded."""
        return self._measure

    def _measure(self, task: RangeTask) -> None:
        read = (files.read_piece(path, task.piece, self.plan) for path in self.pieces)
        parts = [piece for piece in read if piece is not None]
        state = self._sums(concatenated(parts), task) if parts else {}
        files.write_state(state, task.state, self.plan)

    def _sums(self, columns: Columns, task: RangeTask) -> State:
        if task.of is None:
            return measuring.count_rows(columns)
        drawn = Drawn(columns.unit)
        if isinstance(task.of, str):
            return measuring.sum_groups(columns, self.plan, task.of, drawn)
        if task.around is None:
            return measuring.sum_rows(columns, self.plan, [task.of], None, drawn)
        around = _read_around(task.around, self.plan)
        return measuring.sum_rows(columns, self.plan, [task.of], lambda key, _: [around[key]], drawn, totals=False)


def write_arounds(states: Sequence[str], arounds: Sequence[str], plan: Plan, model: int) -> State:
    """Writes what is around each range of a model's scores.

    Args:
      states: The files of the ranges' sums, without areas, by ascending score.
      arounds: The files that are written.
      plan: What is measured.
      model: The model's number.

    Returns:
      The sums of all ranges.
    """
    total = files.read_sum(states, plan)
    name = measuring.of_model(TOTALS, model)
    above: dict[SliceKey, Array] = {}
    for state, path in reversed(list(zip(states, arounds, strict=True))):
        found: State = {}
        for key, sums in files.read_state(state, plan).items():
            of_classes, within = total[key][name][:2], sums[name][:2]
            higher = above.get(key, np.zeros_like(within))
            lower = of_classes - higher - within
            weights = np.array([lower[:, 0].sum(), of_classes[:, 0].sum()])
            found[key] = {_ABOVE: higher, _BELOW: lower[1], _WEIGHTS: weights}
            above[key] = higher + within
        files.write_state(found, path, plan)
    return total


def _read_around(path: str, plan: Plan) -> dict[SliceKey, Around]:
    return {
        key: Around(of[_ABOVE], of[_BELOW], *of[_WEIGHTS].tolist()) for key, of in files.read_state(path, plan).items()
    }
