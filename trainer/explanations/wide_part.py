"""The wide part's weights that apply to a row, each with the name and the value that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.explanations.readable import Readable
from trainer.explanations.wide_weights import title
from trainer.wide_deep.model import WeightsOf, WideDeep, read_batch_size

#: The most weights that one call may return, with those that pad the rows to the same number.
MAX_TERMS = 1_000_000


class WideTerms(NamedTuple):
    """The weights that are not zero, the strongest first; each `[rows, terms]`, padded with empty texts and zeros.

    Attributes:
      features: The feature, cross or count, string.
      values: The value that the weight belongs to, string.
      weights: float32.
    """

    features: tf.Tensor
    values: tf.Tensor
    weights: tf.Tensor


def explain_wide(
    model: WideDeep,
    weights_of: WeightsOf,
    readable: Readable,
    raw: Mapping[str, tf.SparseTensor],
    features: Mapping[str, Any],
) -> WideTerms:
    """Lists the weights whose sum is the wide logit of each row.

    Args:
      model: The trained model.
      weights_of: Looks up the wide tables' weights.
      readable: Names the values.
      raw: The raw features, cleaned, SparseTensors `[rows, any]`.
      features: The transformed features, computed from `raw`.

    Returns:
      The terms. With more than `MAX_TERMS`, the graph raises InvalidArgumentError when it runs.
    """
    num_rows = tf.cast(read_batch_size(features), tf.int64)
    names = tf.constant([title(table) for table in model.wide_tables], tf.string)
    parts = [(tf.zeros([0], tf.int64), tf.zeros([0], tf.int64), tf.zeros([0], tf.string), tf.zeros([0]))]
    for number, table in enumerate(model.wide_tables):
        (name,) = table.inputs
        ids, texts = features[name], readable.format_input(name, raw, features)
        rows = ids.indices[:, 0] if isinstance(ids, tf.SparseTensor) else tf.range(num_rows)
        weights = weights_of(table, ids.values if isinstance(ids, tf.SparseTensor) else ids)
        if isinstance(texts, tf.SparseTensor):
            # tf.Transform leaves the combinations without a weight out; the others keep their column.
            first = tf.searchsorted(texts.indices[:, 0], rows, out_type=tf.int64)
            values = tf.gather(texts.values, first + ids.indices[:, 1])
        else:
            values = texts
        parts.append((rows, tf.fill(tf.shape(rows), tf.constant(number, tf.int64)), values, weights))
    rows, tables, values, weights = (tf.concat(part, axis=0) for part in zip(*parts, strict=True))
    used = tf.where(weights != 0)[:, 0]
    used = tf.gather(used, tf.argsort(-tf.abs(tf.gather(weights, used)), stable=True))
    used = tf.gather(used, tf.argsort(tf.gather(rows, used), stable=True))
    rows = tf.gather(rows, used)
    return WideTerms(
        *(_padded(tf.gather(of, used), rows, num_rows) for of in (tf.gather(names, tables), values, weights))
    )


def _padded(values: tf.Tensor, rows: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    ragged = tf.RaggedTensor.from_value_rowids(values, rows, num_rows, validate=False)
    size = num_rows * tf.reduce_max(tf.concat([[0], ragged.row_lengths()], axis=0))
    text = f"an explanation must have at most {MAX_TERMS} weights. Received:"
    with tf.control_dependencies([tf.debugging.Assert(size <= MAX_TERMS, [text, size])]):
        return tf.RaggedTensor.from_row_splits(tf.identity(values), ragged.row_splits, validate=False).to_tensor()
