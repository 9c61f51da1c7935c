"""The wide part's weights that apply to a row, each with the name and the value that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.explanations.readable import Readable
from trainer.explanations.wide_weights import title
from trainer.wide_deep.model import WeightsOf, WideDeep, read_batch_size
from transform.signature_names import WIDE_FEATURES_OUTPUT, WIDE_VALUES_OUTPUT, WIDE_WEIGHTS_OUTPUT

#: The most weights that one call may return, with those that pad the rows to the same number.
MAX_TERMS = 1_000_000


def explain_wide(
    model: WideDeep,
    weights_of: WeightsOf,
    readable: Readable,
    raw: Mapping[str, tf.SparseTensor],
    features: Mapping[str, Any],
) -> dict[str, tf.Tensor]:
    """Lists the weights whose sum is the wide logit of each row.

    Args:
      model: The trained model.
      weights_of: Looks up the wide tables' weights.
      readable: Names the values.
      raw: The raw features, cleaned, SparseTensors `[rows, any]`.
      features: The transformed features, computed from `raw`.

    Returns:
      By the outputs' names of an explanation (`transform.signature_names`), each `[rows, terms]`, padded with empty
      texts and zeros: the feature, cross or count, and the value that a weight belongs to, string; and the weights that
      are not zero, the strongest first, float32. With more than `MAX_TERMS` of them, the graph raises
      InvalidArgumentError when it runs.
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
    parts_of_terms = (tf.gather(names, tables), values, weights)
    outputs = (WIDE_FEATURES_OUTPUT, WIDE_VALUES_OUTPUT, WIDE_WEIGHTS_OUTPUT)
    return {
        name: _padded(tf.gather(of, used), rows, num_rows) for name, of in zip(outputs, parts_of_terms, strict=True)
    }


def _padded(values: tf.Tensor, rows: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    ragged = tf.RaggedTensor.from_value_rowids(values, rows, num_rows, validate=False)
    size = num_rows * tf.reduce_max(tf.concat([[0], ragged.row_lengths()], axis=0))
    text = f"an explanation must have at most {MAX_TERMS} weights. Received:"
    with tf.control_dependencies([tf.debugging.Assert(size <= MAX_TERMS, [text, size])]):
        return tf.RaggedTensor.from_row_splits(tf.identity(values), ragged.row_splits, validate=False).to_tensor()
