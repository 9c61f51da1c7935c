"""The rules for raw values: which white space is trimmed, and which values mean "no value".

Ingestion applies them to the rows of logs and tables, and the exported model applies them to requests, so that the same
text has the same score from either source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from transform.config.config import Config

#: The characters removed at both ends of a text: ASCII white space, as in `tf.strings.strip`.
WHITE_SPACE = " \t\n\v\f\r"


def trimmed(text: str) -> str:
    """A text without white space at its ends."""
    return text.strip(WHITE_SPACE)


def null_words(null_values: Sequence[str], *, trim: bool) -> frozenset[str]:
    """The texts that mean "no value", including the empty text; trimmed if the column's texts are trimmed."""
    return frozenset({"", *(trimmed(word) if trim else word for word in null_values)})


def null_numbers(null_values: Sequence[str]) -> frozenset[float]:
    """The numbers, float32, that mean "no value": the entries of `null_values` that parse as numbers."""
    numbers = set()
    for word in null_values:
        try:
            numbers.add(float(np.float32(word)))
        except ValueError:  # a text, not a number
            continue
    return frozenset(numbers)


@dataclasses.dataclass(frozen=True)
class RawRule:
    """The rule for one feature.

    Attributes:
      trim: Whether the feature's texts are trimmed.
      words: The texts that mean "no value"; empty for a numeric feature.
      numbers: The numbers that mean "no value"; empty for a text feature.
    """

    trim: bool
    words: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


def raw_rules(config: Config) -> dict[str, RawRule]:
    """The rule for each feature, from its source's `null_values` and its own `trim`."""
    rules = {}
    for feature in config.spec.features:
        nulls = config.sources.of(feature.source).null_values
        if feature.is_numeric:
            rules[feature.name] = RawRule(feature.trim, numbers=tuple(sorted(null_numbers(nulls))))
        else:
            rules[feature.name] = RawRule(feature.trim, words=tuple(sorted(null_words(nulls, trim=feature.trim))))
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
    is_value = tf.reduce_all(values[:, tf.newaxis] != tf.constant(nulls, values.dtype), axis=1)
    rows = tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(values, is_value),
        tf.boolean_mask(raw.indices[:, 0], is_value),
        nrows=raw.dense_shape[0],
        validate=False,
    )
    return rows.to_sparse()
