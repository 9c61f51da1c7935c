"""Starts the optimizer state of what is new, so that it learns no faster than is good beside what was carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.optimizers import OptimizerKind
from trainer.warm_start.row_moving import fill_rows, mean_row
from trainer.wide_deep.tables import Table


class NewMoments:
    """Starts the moments of new rows at the mean of those carried.

    Moments of 0 at Adam's carried step count stand for gradients of 0: the first step of such a row would be
    (1 - β1) / √(1 - β2) = 3.16 times the learning rate. AdaGrad's new rows keep their initial sum of squared gradients,
    which is that of a row without examples, as FTRL's do in a table that was carried.

    Args:
      optimizer: The deep part's optimizer.
    """

    def __init__(self, optimizer: OptimizerKind) -> None:
        self._counts_steps = optimizer.counts_steps
        self._means: list[dict[str, np.ndarray]] = []  # per carried table, by slot: the mean row

    def in_table(self, table: Table, slots: Mapping[str, tf.Variable], carried: np.ndarray) -> None:
        """Starts a table's new rows at the mean of its carried rows.

        Args:
          table: The table.
          slots: Its optimizer slots, by name, with the carried rows' values.
          carried: int64 `[any]`: the rows that were carried, at least one.
        """
        if not self._counts_steps:
            return
        is_new = np.ones(table.rows, bool)
        is_new[carried] = False
        rows, means = np.flatnonzero(is_new), {name: mean_row(slot, carried) for name, slot in slots.items()}
        for name, slot in slots.items():
            fill_rows(slot, rows, means[name])
        self._means.append(means)

    def in_new_table(self, slots: Mapping[str, tf.Variable]) -> None:
        """Starts all rows of a table at the mean over the tables given to `in_table`, all columns alike."""
        for name, slot in slots.items() if self._means else ():
            mean = np.asarray(np.mean([of_table[name].mean() for of_table in self._means]), np.float32)
            fill_rows(slot, np.arange(slot.shape[0]), mean)


def spread_accumulators(new: Sequence[tf.Variable], carried: Sequence[tf.Variable]) -> None:
    """Starts FTRL's sums of squared gradients in tables that are new, as if they had been trained like those carried.

    At a cold start all tables learn together. Beside weights that have learned, one that starts at the initial sum
    takes steps as large as theirs once were, and learns the noise of labels that the others explain already
    (`benchmarks.changed_inputs`). Each example adds a squared gradient to one row or a few of each table, so that the
    sums of whole tables are alike, whatever their number of rows. A new table gets the median of them, in equal parts:
    with 0.06 for each of the others, one of 200 rows starts 0.0003 above the initial sum.

    Args:
      new: FTRL's slot `accumulator` of each new table, float32 `[rows]`, all at the initial sum; overwritten.
      carried: The same of each table of which rows were carried; of their new rows, at the initial sum too.
    """
    if not new or not carried:
        return
    initial = float(new[0][0])
    sums = [float(mean_row(slot, np.arange(slot.shape[0])).sum() - initial) * slot.shape[0] for slot in carried]
    for slot in new:
        number = slot.shape[0]
        fill_rows(slot, np.arange(number), np.asarray(initial + max(0.0, float(np.median(sums))) / number, np.float32))
