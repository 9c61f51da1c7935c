"""Drops values from the SparseTensors of raw features, and reads the first of each row.

Each signature of a model has these functions for every feature with null values, so they use few operations:
`tf.boolean_mask` and `tf.RaggedTensor.from_value_rowids`, which do the same, were half of an exported graph, which a
server has to load.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def with_values(raw: tf.SparseTensor, values: tf.Tensor, is_kept: tf.Tensor) -> tf.SparseTensor:
    """Replaces the values of a SparseTensor, and drops some of them.

    Args:
      raw: A SparseTensor `[batch, any]` with n values, in row-major order.
      values: The new values, `[n]`.
      is_kept: Which of them are kept, bool `[n]`.

    Returns:
      A SparseTensor of the same shape; a row's kept values start at the first column. Of `[["a", "-", "b"], ["-"]]`
      without "-", it is `[["a", "b"], []]`.
    """
    kept = tf.squeeze(tf.where(is_kept), axis=1)
    rows, _ = tf.unstack(tf.gather(raw.indices, kept), num=2, axis=1)
    return _from_first_column(rows, tf.gather(values, kept), raw.dense_shape)


def from_dense(dense: tf.Tensor, is_kept: tf.Tensor) -> tf.SparseTensor:
    """Converts a dense tensor without some of its values.

    Args:
      dense: The values, `[batch, any]`.
      is_kept: Which of them are kept, bool of the same shape.

    Returns:
      A SparseTensor of the same shape; a row's kept values start at the first column.
    """
    places = tf.where(is_kept)
    rows, _ = tf.unstack(places, num=2, axis=1)
    return _from_first_column(rows, tf.gather_nd(dense, places), tf.shape(dense, tf.int64))


def _from_first_column(rows: tf.Tensor, values: tf.Tensor, shape: tf.Tensor) -> tf.SparseTensor:
    """Returns a SparseTensor of values, given the row of each, ascending, int64 `[n]`."""
    # A value's column is its position less that of its row's first value. `tf.searchsorted` would find that with a
    # dozen more operations, which reshape its inputs.
    as_one_row = tf.expand_dims(rows, 0)
    first = tf.raw_ops.LowerBound(sorted_inputs=as_one_row, values=as_one_row, out_type=tf.int64)
    columns = tf.range(tf.size(rows, tf.int64)) - tf.squeeze(first, axis=0)
    return tf.SparseTensor(tf.stack([rows, columns], axis=1), values, shape)


def single_value(values: tf.SparseTensor, default: Any) -> tf.Tensor:
    """The first value of each row, `[batch]`; `default` for a row without values."""
    shape = tf.stack([values.dense_shape[0], 1])
    first = tf.sparse.slice(values, [0, 0], shape)  # has no column if `values` has none
    wide = tf.SparseTensor(first.indices, first.values, shape)
    return tf.squeeze(tf.sparse.to_dense(wide, default_value=default), axis=1)
