"""The rule for each feature's raw values (`transform.raw_texts`), applied in a TensorFlow graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from transform.config.component_settings import DataSettings
from transform.graph.sparse_values import with_values
from transform.raw_texts import null_numbers, null_words


@dataclasses.dataclass(frozen=True)
class RawRule:
    """The rule for one feature.

    Attributes:
      trim: Whether the feature's texts are trimmed.
      words: The texts that mean "no value", if its values are texts.
      numbers: The numbers that mean "no value", if its values are numbers.
    """

    trim: bool
    words: tuple[str, ...]
    numbers: tuple[float, ...]


def raw_rules(config: DataSettings) -> dict[str, RawRule]:
    """The rule for each feature, from its source's `null_values` and its own `trim`."""
    rules = {}
    for feature in config.spec.features:
        nulls = config.sources.of(config.source_of(feature)).null_values
        words = tuple(sorted(null_words(nulls, trim=feature.trim)))
        rules[feature.name] = RawRule(feature.trim, words, tuple(sorted(null_numbers(nulls))))
    return rules


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
