"""Calls tf.Transform's saved graph on a request's features.

A part of the graph is taken out with `WrappedFunction` of TensorFlow 2.21.0 and `tf2_utils` of tf.Transform 1.21.0,
which tf.Transform itself uses for it; neither is public.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.eager import wrap_function
from tensorflow_transform import tf2_utils

from transform.example_keys import KNOWN_AFTERWARDS

_loaded: weakref.WeakKeyDictionary[tft.TFTransformOutput, Any] = weakref.WeakKeyDictionary()


def load_transform(tft_output: tft.TFTransformOutput) -> Any:
    """Returns tf.Transform's SavedModel, with its `transform_fn`; it is loaded once, and freed with `tft_output`."""
    if tft_output not in _loaded:
        _loaded[tft_output] = tf.saved_model.load(tft_output.transform_savedmodel_dir)
    return _loaded[tft_output]


def apply_transform(transform_fn: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    """Calls tf.Transform's saved function, with an empty or zero tensor for each input that is not given.

    Args:
      transform_fn: The saved function; its one argument is a dict of raw features, including the label and the
        weight, if any.
      features: Raw features, SparseTensors; at least one.

    Returns:
      The transformed features, without those that are known only afterwards, such as the label.
    """
    ((requested,), _) = transform_fn.structured_input_signature
    batch_size = next(iter(features.values())).dense_shape[0]
    missing = {name: _stand_in(spec, batch_size) for name, spec in requested.items() if name not in features}
    inputs = {name: missing[name] if name in missing else features[name] for name in requested}
    outputs = transform_fn(*tf.nest.flatten(inputs, expand_composites=True))
    return {name: value for name, value in outputs.items() if name not in KNOWN_AFTERWARDS}


def pruned(transform_fn: Any, outputs: Collection[str]) -> Any:
    """Returns a part of tf.Transform's saved function: the same inputs, but only some of the outputs.

    TensorFlow does not drop the unused outputs' ops itself, because it treats a table lookup as a side effect.
    """
    found = tf.nest.pack_sequence_as(transform_fn.structured_outputs, transform_fn.outputs, expand_composites=True)
    kept = {name: value for name, value in found.items() if name in outputs}
    tensors, _ = tf2_utils.strip_and_get_tensors_and_control_dependencies(tf.nest.flatten(kept, expand_composites=True))
    whole = wrap_function.WrappedFunction(transform_fn.graph, wrap_function.VariableHolder(share_variables=True))
    return whole.prune(
        transform_fn.inputs,
        tf.nest.pack_sequence_as(kept, tensors, expand_composites=True),
        input_signature=transform_fn.structured_input_signature,
    )


def _stand_in(spec: tf.TypeSpec, batch_size: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
    if isinstance(spec, tf.SparseTensorSpec):
        empty = tf.zeros([0, 2], tf.int64)
        return tf.SparseTensor(empty, tf.zeros([0], spec.dtype), tf.stack([batch_size, tf.zeros((), tf.int64)]))
    return tf.zeros(tf.stack([batch_size, *(tf.constant(n, tf.int64) for n in spec.shape[1:])]), spec.dtype)
