"""What the trainer needs of tf.Transform's analysis: vocabularies and quantile boundaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.transform_output.graph import apply_transform, load_transform
from transform.feature import Feature
from transform.feature_spec import FeatureSpec, transformed_name
from transform.files.tokens import read_vocabulary

#: The largest float32's bit pattern, read as an integer.
_LARGEST = int(np.finfo(np.float32).max.view(np.int32))


@dataclasses.dataclass(frozen=True)
class TransformState:
    """The vocabularies and quantile boundaries that tf.Transform learned.

    Attributes:
      vocabularies: The tokens in their order, by vocabulary name; `Tokens` where there may be many.
      boundaries: The boundaries between quantiles, float32 `[quantiles - 1]`, ascending, by the name of each numeric
        feature whose quantile is an id. Quantile i holds the values from boundary i - 1 (included) to boundary i
        (excluded).
    """

    vocabularies: Mapping[str, Sequence[bytes]]
    boundaries: dict[str, np.ndarray]

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """The number of tokens, by vocabulary name."""
        return {name: len(tokens) for name, tokens in self.vocabularies.items()}


def read_transform_state(tft_output: tft.TFTransformOutput, spec: FeatureSpec) -> TransformState:
    """Reads what tf.Transform learned for a feature spec."""
    vocabularies = {name: read_vocabulary(tft_output, name) for name in spec.learned_vocabularies}
    numeric = [feature for feature in spec.features if spec.needs_bucket(feature)]
    transform_fn = load_transform(tft_output).transform_fn
    return TransformState(vocabularies, _boundaries(transform_fn, numeric) if numeric else {})


def _boundaries(transform_fn: Any, features: Sequence[Feature]) -> dict[str, np.ndarray]:
    """Finds the boundaries by bisection on the transform graph's output: it holds them only as unnamed constants.

    Row k of a batch searches each feature's boundary k, the least value whose quantile is above k. The bisection is on
    floats' bit patterns, whose order as integers equals the floats' order, so it ends at the exact float in 32 steps.
    """
    number = max(feature.num_buckets or 0 for feature in features) - 1
    below = np.full((len(features), number), -_LARGEST, np.int64)
    reached = -below
    while np.any(reached - below > 1):
        middle = (below + reached) // 2
        raw = {feature.name: _column(_as_float(row)) for feature, row in zip(features, middle, strict=True)}
        transformed = apply_transform(transform_fn, raw)
        quantile = np.stack([transformed[transformed_name(feature.bucket_name)] for feature in features])
        is_reached = quantile > np.arange(number)
        reached, below = np.where(is_reached, middle, reached), np.where(is_reached, below, middle)
    return {
        feature.name: _as_float(row)[: (feature.num_buckets or 0) - 1]
        for feature, row in zip(features, reached, strict=True)
    }


def _as_float(order: np.ndarray) -> np.ndarray:
    """The floats whose bit patterns, ignoring the sign, are `order`; subnormals become zero, as in TensorFlow."""
    values = np.abs(order).astype(np.int32).view(np.float32) * np.sign(order).astype(np.float32)
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


def _column(values: np.ndarray) -> tf.SparseTensor:
    """One value per row, float32 `[rows, 1]`."""
    indices = np.stack([np.arange(values.size), np.zeros(values.size, np.int64)], axis=1)
    return tf.SparseTensor(indices, values, [values.size, 1])
