"""The model's quality on held-out examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.training.position import Metrics
from trainer.wide_deep.model import Features, WideDeep
from transform.auc import auc

FloatArray = np.ndarray


def logits_function(model: WideDeep) -> Callable[[Features], tf.Tensor]:
    """Returns a function that computes the model's logits without dropout, in one graph for batches of any size.

    By itself, TensorFlow makes a graph for each number of rows, and for each length of the longest list in a batch.
    """
    functions: dict[tuple[tuple[str, tf.TypeSpec], ...], Callable[[Features], tf.Tensor]] = {}

    def compute_logits(features: Features) -> tf.Tensor:
        specs = {name: _any_batch_spec(values) for name, values in features.items()}
        key = tuple(sorted(specs.items()))
        if key not in functions:
            functions[key] = tf.function(lambda batch: model.logits(batch), input_signature=[specs], autograph=False)
        return functions[key](features)

    return compute_logits


def _any_batch_spec(values: tf.Tensor | tf.SparseTensor) -> tf.TypeSpec:
    """The type of a feature's values in batches with any number of rows."""
    if isinstance(values, tf.SparseTensor):
        return tf.SparseTensorSpec([None, None], values.dtype)
    return tf.TensorSpec([None, *values.shape[1:]], values.dtype)


def evaluate(compute_logits: Callable[[Features], tf.Tensor], dataset: tf.data.Dataset) -> Metrics:
    """Scores all examples and measures the scores.

    Args:
      compute_logits: Returns a batch's logits, as `logits_function` does.
      dataset: Batches from `trainer.training.data.eval_dataset`.
    """
    logits, labels, weights = ([np.zeros(0, np.float32)] for _ in range(3))
    for features, batch_labels, batch_weights in dataset:
        logits.append(compute_logits(features).numpy())
        labels.append(batch_labels.numpy())
        weights.append(batch_weights.numpy())
    return measure(np.concatenate(logits), np.concatenate(labels), np.concatenate(weights))


def measure(logits: FloatArray, labels: FloatArray, weights: FloatArray | None = None) -> Metrics:
    """Measures the AUC and the logistic loss of logits.

    Args:
      logits: float32 `[n]`.
      labels: float32 `[n]`, 0 or 1.
      weights: float32 `[n]`, not negative; None gives each example the weight 1.
    """
    wide = logits.astype(np.float64)
    w = np.ones_like(wide) if weights is None else weights.astype(np.float64)
    losses = np.maximum(wide, 0) - wide * labels + np.log1p(np.exp(-np.abs(wide)))
    logloss = float((w * losses).sum() / w.sum()) if w.any() else None
    return Metrics(int(logits.size), auc(logits, labels > 0.5, w), logloss)
