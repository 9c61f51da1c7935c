"""Limits the number of combinations that one call may compute.

The values of a context's list are combined with each candidate, and the values of two lists with each other: a request
of four megabytes could lead to billions of combinations and exhaust a server's memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from transform.feature_spec import FeatureSpec

#: The combinations of 10,000 candidates with lists of 500 values each; at most 0.1 s, and 250 MB.
MAX_COMBINATIONS = 5_000_000


def bounded(values: tf.Tensor, counts: tf.Tensor, what: str) -> tf.Tensor:
    """Returns values, under the condition that the number of combinations is within the limit.

    Args:
      values: A tensor.
      counts: The number of combinations of each row, int64 or float64 of any shape.
      what: The cross, or the feature, for the error message.

    Returns:
      The values. With more than `MAX_COMBINATIONS` in total, the graph raises InvalidArgumentError when it runs.
    """
    # As float64, since a sum of products may exceed int64.
    number = tf.reduce_sum(tf.cast(counts, tf.float64))
    text = f"a request must have at most {MAX_COMBINATIONS} combinations of `{what}`. Received:"
    assertion = tf.debugging.Assert(number <= MAX_COMBINATIONS, [text, number])
    with tf.control_dependencies([assertion]):
        return tf.identity(values)


def bounded_lists(raw: Mapping[str, tf.SparseTensor], spec: FeatureSpec) -> dict[str, tf.SparseTensor]:
    """Returns raw features, under the condition that lists combined with each other are within the limit.

    Args:
      raw: SparseTensors `[rows, any]`, of one side or both.
      spec: The features.

    Returns:
      The same features, checked by `bounded`.
    """
    found = dict(raw)
    for combination in spec.combinations:
        lists = [name for name in combination.features if spec.by_name[name].is_list and name in found]
        if len(lists) > 1:
            counts = tf.ones([], tf.float64)
            for name in lists:
                counts *= tf.cast(row_lengths(found[name]), tf.float64)
            first = found[lists[0]]
            values = bounded(first.values, counts, combination.name)
            found[lists[0]] = tf.SparseTensor(first.indices, values, first.dense_shape)
    return found


def row_lengths(values: tf.SparseTensor) -> tf.Tensor:
    """The number of values in each row, int64 `[rows]`, of a SparseTensor `[rows, any]`."""
    rows = values.indices[:, 0]
    return tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, values.dense_shape[0])
