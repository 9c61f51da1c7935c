"""Optimizer state in units of another batch size.

A step's gradient is that of the batch's mean loss, to which an example of a batch of B adds δ / B. After a change from
B1 to B2 examples, with f = B1 / B2, the state is what the same examples would have left in batches of B2:

- FTRL's and AdaGrad's n, an initial value and a sum of squares, has δ² / B² per example: n0' + (n - n0) · f²;
- FTRL's z is a sum of gradients. That of a weight of zero is multiplied by f; `ftrl_linear` rebuilds the others;
- Adam's moments of an embedding's row, which few examples of a batch have: m · f and v · f². Those of a hidden layer,
  to which all examples add, vary with the batch by δ² / B: m · √f and v · f. Either way m / √v, the step, stays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from trainer.training_size import sized_value
from trainer.warm_start.array_files import Rows
from trainer.warm_start.files import SavedState, SavedVariable
from transform.config import settings

#: FTRL's variables, an embedding's rows, or a variable of the hidden layers or the tower.
_Part = Literal["wide", "rows", "dense"]

#: The part of the tables with a prefix; an embedding's is `rows`. Each example has one of a tower's few rows.
_PARTS: Mapping[str, _Part] = {"wide": "wide", "tower": "dense"}


@dataclasses.dataclass(frozen=True)
class Scaled:
    """Rows that are read as `start + max(row - start_before, 0) · factor` with a start, and else as row · factor.

    Attributes:
      rows: The rows.
      factor: What they are multiplied by.
      start_before: The value before the first step; None for none.
      start: The value before the first step with the new batch size; None for none.
    """

    rows: Rows
    factor: float
    start_before: float | None = None
    start: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    @property
    def dtype(self) -> np.dtype:
        return self.rows.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        for block in self.rows.blocks():
            if self.start_before is None or self.start is None:
                scaled = block * self.factor
            else:
                scaled = self.start + np.maximum(block.astype(np.float64) - self.start_before, 0.0) * self.factor
            yield np.asarray(scaled, self.dtype)


def in_batches_of(saved: SavedState, training: settings.Training) -> tuple[SavedState, tuple[str, ...]]:
    """Returns a saved state with its optimizer slots in units of a training's batch size, and a sentence if it differs.

    Args:
      saved: The state. If it does not have its batch size, as those of 0.2.0, it is returned as it is.
      training: The settings, `sized`.
    """
    before = saved.settings.get("batch_size")
    if before is None or training.batch_size is None or before == training.batch_size:
        return saved, ()
    scale = _Scale(before / training.batch_size, saved.settings, training)
    tables = {}
    for name, table in saved.tables.items():
        part: _Part = _PARTS.get(name.partition("/")[0], "rows")
        tables[name] = dataclasses.replace(table, variable=scale.of(table.variable, part))
    dense = {name: scale.of(variable, "wide" if name == "bias" else "dense") for name, variable in saved.dense.items()}
    why = f"the batch size changed from {before} to {training.batch_size}: the optimizers' state was scaled to it"
    return dataclasses.replace(saved, tables=tables, dense=dense), (why,)


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Scales variables' slots by f, `ratio`, from a saved state's settings to a training's."""

    ratio: float
    before: Mapping[str, Any]
    training: settings.Training

    def of(self, variable: SavedVariable, part: _Part) -> SavedVariable:
        slots = {name: self._slot(name, rows, part) for name, rows in variable.slots.items()}
        return dataclasses.replace(variable, slots=slots)

    def _slot(self, name: str, rows: Rows, part: _Part) -> Rows:
        per_example = math.sqrt(self.ratio) if part == "dense" else self.ratio
        match name:
            case "accumulator":
                optimizer = "wide_optimizer" if part == "wide" else "deep_optimizer"
                start = sized_value(getattr(self.training, optimizer).initial_accumulator, optimizer)
                return Scaled(rows, self.ratio**2, self.before[optimizer]["initial_accumulator"], start)
            case "linear":
                return Scaled(rows, self.ratio)
            case "m":
                return Scaled(rows, per_example)
            case "v":
                return Scaled(rows, per_example**2)
            case _:
                raise ValueError(
                    f"a slot must be `accumulator`, `linear`, `m` or `v`, whose units are known. Received: {name}"
                )
