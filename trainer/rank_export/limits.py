"""How many combinations one call may ask for.

The values of a context's list are combined with each candidate, and the values of two lists with each other: a request
of four megabytes could ask for billions, and take all of a server's memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from transform.feature_spec import FeatureSpec

#: As many as 10,000 candidates have with lists of 500 values each; at most 0.1 s, and 250 MB.
MAX_COMBINATIONS = 5_000_000


def bounded(values: tf.Tensor, counts: tf.Tensor, what: str) -> tf.Tensor:
    """Values that are there only if what is to be made of them is not too much.

    Args:
      values: A tensor.
      counts: How many combinations each row has, int64 or float64 of any shape.
      what: The cross, or the feature, for the error.

    Returns:
      The values. If there are more than `MAX_COMBINATIONS` in all, the run ends with InvalidArgumentError.
    """
    # As float64, since a sum of products may be past int64.
    number = tf.reduce_sum(tf.cast(counts, tf.float64))
    text = f"a request must have at most {MAX_COMBINATIONS} combinations of `{what}`. Received:"
    assertion = tf.debugging.Assert(number <= MAX_COMBINATIONS, [text, number])
    with tf.control_dependencies([assertion]):
        return tf.identity(values)


def bounded_lists(raw: Mapping[str, tf.SparseTensor], spec: FeatureSpec) -> dict[str, tf.SparseTensor]:
    """Raw features, if the lists that are combined with each other are not too long.

    Args:
      raw: SparseTensors `[rows, any]`; of both sides or of one.
      spec: The features.

    Returns:
      The same, as `bounded` gives them.
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
    """How many values each row has, int64 `[rows]`, of a SparseTensor `[rows, any]`."""
    rows = values.indices[:, 0]
    return tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, values.dense_shape[0])
