"""Calls tf.Transform's saved graph on a request's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from transform.feature_spec import LABEL, WEIGHT


def apply_transform(transform_fn: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    """Calls tf.Transform's saved function, with a stand-in for each input that is not given.

    Args:
      transform_fn: The saved function; its one argument is a dict of raw features, the label and any weight
        among them.
      features: Raw features, SparseTensors; at least one.

    Returns:
      The transformed features, without label and weight.
    """
    ((wanted,), _) = transform_fn.structured_input_signature
    batch_size = next(iter(features.values())).dense_shape[0]
    missing = {name: _stand_in(spec, batch_size) for name, spec in wanted.items() if name not in features}
    inputs = {name: missing[name] if name in missing else features[name] for name in wanted}
    outputs = transform_fn(*tf.nest.flatten(inputs, expand_composites=True))
    return {name: value for name, value in outputs.items() if name not in (LABEL, WEIGHT)}


def _stand_in(spec: tf.TypeSpec, batch_size: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
    if isinstance(spec, tf.SparseTensorSpec):
        empty = tf.zeros([0, 2], tf.int64)
        return tf.SparseTensor(empty, tf.zeros([0], spec.dtype), tf.stack([batch_size, tf.zeros((), tf.int64)]))
    return tf.zeros(tf.stack([batch_size, *(tf.constant(n, tf.int64) for n in spec.shape[1:])]), spec.dtype)
