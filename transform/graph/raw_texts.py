"""Applies the rules for raw values (`transform.raw_texts`) in a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from transform.graph.raw_rules import RawRule
from transform.graph.sparse_values import with_values


def clean(inputs: Mapping[str, Any], rules: Mapping[str, RawRule]) -> dict[str, Any]:
    """Applies the rules in a TensorFlow graph.

    Args:
      inputs: Raw features by name, SparseTensors `[batch, any]` of string or float32; other tensors are allowed too.
      rules: The rules by feature.

    Returns:
      The inputs, with the features' texts trimmed and without the values that mean "no value". A row's remaining values
      start at the first column.
    """
    return {name: _clean(value, rules[name]) if name in rules else value for name, value in inputs.items()}


def _clean(raw: tf.SparseTensor, rule: RawRule) -> tf.SparseTensor:
    values = raw.values
    if values.dtype == tf.string:
        values = tf.strings.strip(values) if rule.trim else values
        nulls: tuple[Any, ...] = rule.words
    else:
        nulls = rule.numbers
    if not nulls:
        return tf.SparseTensor(raw.indices, values, raw.dense_shape)
    is_value = tf.reduce_all(tf.expand_dims(values, 1) != tf.constant(nulls, values.dtype), axis=1)
    return with_values(raw, values, is_value)
