"""A wide table without the rows that L1 set to zero: the same weights, stored only for the non-zero rows."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

#: The number of rows that share one entry of the index.
_BLOCK = 32


class PrunedTable(tf.Module):  # type: ignore[misc]
    """The weights of a table's non-zero rows and, if some rows are zero, an index that finds them.

    The index is a bit vector with ranks (Jacobson, 1989): the low 32 bits of an int64 entry mark which of the block's
    32 rows have a weight; its high bits hold the number of rows with a weight before the block. It takes a sixteenth of
    the full table's bytes, however many rows are zero, and finds a row in one step. (A sorted list of row numbers takes
    as much memory as the weights that it finds, and log n steps.)

    Args:
      name: The table's name.
      weights: All weights, float32 `[rows]`.
    """

    def __init__(self, name: str, weights: np.ndarray) -> None:
        super().__init__(name="pruned_table")
        self.weights = tf.Variable(weights[weights != 0], trainable=False, name=name)
        self.index = None if weights.all() else tf.Variable(_index(weights), trainable=False, name=f"{name}/index")

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """The weights, float32 `[any]`, of the full table's rows, int64 `[any]`; 0 for pruned rows."""
        if self.index is None:
            return tf.gather(self.weights, rows)
        if self.weights.shape[0] == 0:
            return tf.zeros(tf.shape(rows))
        entry = tf.gather(self.index, rows // _BLOCK)
        bit = tf.bitwise.left_shift(tf.ones_like(rows), rows % _BLOCK)
        before = tf.raw_ops.PopulationCount(x=tf.bitwise.bitwise_and(entry, bit - 1))
        place = entry // 2**_BLOCK + tf.cast(before, tf.int64)
        is_found = tf.bitwise.bitwise_and(entry, bit) != 0
        return tf.where(is_found, tf.gather(self.weights, tf.where(is_found, place, 0)), 0.0)


def _index(weights: np.ndarray) -> np.ndarray:
    """The index of a table's non-zero rows, int64 `[ceil(rows / 32)]`."""
    has_weight = np.zeros(-(-weights.size // _BLOCK) * _BLOCK, np.int64)
    has_weight[: weights.size] = weights != 0
    blocks = has_weight.reshape(-1, _BLOCK)
    counts = blocks.sum(axis=1)
    index: np.ndarray = (np.cumsum(counts) - counts) << _BLOCK | (blocks << np.arange(_BLOCK)).sum(axis=1)
    return index
