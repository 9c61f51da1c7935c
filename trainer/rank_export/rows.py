"""Checks that the inputs of a ranking have the same requests."""

from __future__ import annotations

import tensorflow as tf

from transform.signature_names import ITEM_IDS, ITEMS_INPUT


def check_rows(item_ids: tf.Tensor, num_contexts: tf.Tensor, items: tf.Tensor | None = None) -> tf.Tensor:
    """Returns item ids, under the condition that each request has one context, and each id an entry of `items`.

    Without it, contexts or entries too many would be ignored.

    Args:
      item_ids: string `[requests, candidates]`.
      num_contexts: The number of contexts, int32 or int64; of contexts by feature, each feature's number, `[features]`.
      items: The items' tf.Examples, string `[requests, candidates]`; None if the signature takes none.

    Returns:
      The ids. If the condition does not hold, the graph raises InvalidArgumentError when it runs.
    """
    num_rows = tf.shape(item_ids, out_type=num_contexts.dtype)[0]
    text = f"there must be one context for each row of `{ITEM_IDS}`. Received, contexts and rows:"
    assertions = [tf.debugging.Assert(tf.reduce_all(num_contexts == num_rows), [text, num_contexts, num_rows])]
    if items is not None:
        text = f"`{ITEMS_INPUT}` must have the shape of `{ITEM_IDS}`. Received, shapes:"
        shape, expected = tf.shape(items), tf.shape(item_ids)
        assertions.append(tf.debugging.Assert(tf.reduce_all(shape == expected), [text, shape, expected]))
    with tf.control_dependencies(assertions):
        return tf.identity(item_ids)
