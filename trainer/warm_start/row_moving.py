"""Writes old rows into a variable: of the old array, a block and the rows of which a mean is taken are in memory."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.warm_start.array_files import Rows, block_rows
from trainer.warm_start.row_matching import RowMatch

#: What the columns of a carried row become that the old row lacks: 0, or the mean of the row's carried columns.
NewColumns = Literal["zero", "mean"]


def move_rows(variable: tf.Variable, old: Rows, match: RowMatch, new_columns: NewColumns = "zero") -> None:
    """Overwrites the matched rows of a variable with the old ones.

    Args:
      variable: float32 `[rows, any]`, `[rows]` or a scalar, which is one row.
      old: The old rows, of as many dimensions. Of columns that the variable lacks, nothing is carried.
      match: Which old rows the variable's rows start from.
      new_columns: What the columns become that the old rows lack.
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
        _overwrite(variable, match.new_rows[some], block[match.old_rows[some] - start], new_columns)
        kept.append(block[averaged[slice(*np.searchsorted(averaged, [start, end]))] - start])
        start = end
    if match.mean_for.size:
        of_means = np.concatenate(kept).reshape(averaged.size, -1)
        means = of_means[np.searchsorted(averaged, match.mean_of)].mean(axis=1, keepdims=True)
        values = np.broadcast_to(means, (*match.mean_for.shape, of_means.shape[1]))
        values = values.reshape(match.mean_for.size, *old.shape[1:])
        _overwrite(variable, match.mean_for.reshape(-1), values, new_columns)


def mean_row(variable: tf.Variable, rows: np.ndarray) -> np.ndarray:
    """Returns the mean of some rows, at least one, float32 of a row's shape; summed up in float64."""
    total: np.ndarray = np.zeros(variable.shape[1:], np.float64)
    for some in _in_blocks(variable, rows):
        total += tf.gather(variable, some).numpy().sum(axis=0, dtype=np.float64)
    return np.asarray(total / rows.size, np.float32)


def rows_norm(variable: tf.Variable, rows: np.ndarray) -> float:
    """Returns the L2 norm of some rows, summed up in float64."""
    total, number = 0.0, block_rows(tuple(variable.shape), np.dtype(np.float64))
    for at in range(0, rows.size, number):
        values = tf.gather(variable, rows[at : at + number]).numpy().astype(np.float64).reshape(-1)
        total += float(values @ values)
    return math.sqrt(total)


def fill_rows(variable: tf.Variable, rows: np.ndarray, row: np.ndarray) -> None:
    """Overwrites each of some rows with the same one."""
    for some in _in_blocks(variable, rows):
        variable.scatter_update(tf.IndexedSlices(np.broadcast_to(row, (some.size, *variable.shape[1:])), some))


def _in_blocks(variable: tf.Variable, rows: np.ndarray) -> list[np.ndarray]:
    number = block_rows(tuple(variable.shape), np.dtype(np.float64))
    return [rows[at : at + number] for at in range(0, rows.size, number)]


def _overwrite(variable: tf.Variable, rows: np.ndarray, values: np.ndarray, new_columns: NewColumns) -> None:
    if not rows.size:
        return
    if values.shape[1:] != tuple(variable.shape[1:]):
        flat = values.reshape(rows.size, -1)[:, : variable.shape[1]]
        missing = ((0, 0), (0, variable.shape[1] - flat.shape[1]))
        values = np.pad(flat, missing, "mean") if new_columns == "mean" else np.pad(flat, missing)
    variable.scatter_update(tf.IndexedSlices(values, rows))
