"""Writes old rows into a variable: of the old array, a block and the rows of which a mean is taken are in memory."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.warm_start.array_files import Rows
from trainer.warm_start.row_matching import RowMatch


def move_rows(variable: tf.Variable, old: Rows, match: RowMatch) -> None:
    """Overwrites the matched rows of a variable with the old ones, in the columns that both have.

    Args:
      variable: float32 `[rows, any]`, `[rows]` or a scalar, which is one row.
      old: The old rows, of as many dimensions.
      match: Which old rows the variable's rows start from.
    """
    if not variable.shape.rank:
        if match.new_rows.size:
            (block,) = old.blocks()
            variable.assign(block)
        return
    by_old = np.argsort(match.old_rows, kind="stable")
    averaged = np.unique(match.mean_of)
    kept: list[np.ndarray] = []
    start = 0
    for block in old.blocks():
        end = start + len(block)
        some = by_old[slice(*np.searchsorted(match.old_rows, [start, end], sorter=by_old))]
        _overwrite(variable, match.new_rows[some], block[match.old_rows[some] - start])
        kept.append(block[averaged[slice(*np.searchsorted(averaged, [start, end]))] - start])
        start = end
    if match.mean_for.size:
        of_means = np.concatenate(kept).reshape(averaged.size, -1)
        means = of_means[np.searchsorted(averaged, match.mean_of)].mean(axis=1, keepdims=True)
        values = np.broadcast_to(means, (*match.mean_for.shape, of_means.shape[1]))
        _overwrite(variable, match.mean_for.reshape(-1), values.reshape(match.mean_for.size, *old.shape[1:]))


def _overwrite(variable: tf.Variable, rows: np.ndarray, values: np.ndarray) -> None:
    """Overwrites rows of a variable; where the widths differ, in the columns that both have."""
    if not rows.size:
        return
    if values.shape[1:] != tuple(variable.shape[1:]):
        widened = tf.gather(variable, rows).numpy().reshape(rows.size, -1)
        flat = values.reshape(rows.size, -1)
        columns = min(widened.shape[1], flat.shape[1])
        widened[:, :columns] = flat[:, :columns]
        values = widened.reshape(rows.size, *variable.shape[1:])
    variable.scatter_update(tf.IndexedSlices(values, rows))
