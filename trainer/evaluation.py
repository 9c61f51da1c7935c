"""The model's quality on held-out examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.model import Features, WideDeep

FloatArray = np.ndarray


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Quality on a set of examples.

    Attributes:
      num_examples: How many there are.
      auc: The area under the ROC curve, exact; None unless both labels occur.
      logloss: The mean logistic loss in nats; None without examples.
    """

    num_examples: int
    auc: float | None
    logloss: float | None


def logits_function(model: WideDeep) -> Callable[[Features], tf.Tensor]:
    """The model's logits, without dropout, as one graph."""
    function: Callable[[Features], tf.Tensor] = tf.function(lambda features: model.logits(features), autograph=False)
    return function


def evaluate(logits_of: Callable[[Features], tf.Tensor], dataset: tf.data.Dataset) -> Metrics:
    """Scores all examples and measures the scores.

    Args:
      logits_of: Gives a batch's logits, as `logits_function` makes it.
      dataset: Batches of (features, labels) as `trainer.data.eval_dataset` makes them.

    Returns:
      The metrics.
    """
    logits, labels = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for features, batch_labels in dataset:
        logits.append(logits_of(features).numpy())
        labels.append(batch_labels.numpy())
    return measure(np.concatenate(logits), np.concatenate(labels))


def measure(logits: FloatArray, labels: FloatArray) -> Metrics:
    """AUC and logistic loss of logits.

    AUC = (R - P·(P + 1)/2) / (P·N), with R the sum of the positives' ranks, ties at their mean rank (Mann-Whitney).

    Args:
      logits: float32 `[n]`.
      labels: float32 `[n]`, 0 or 1.

    Returns:
      The metrics.
    """
    if logits.size == 0:
        return Metrics(0, None, None)
    wide = logits.astype(np.float64)
    losses = np.maximum(wide, 0) - wide * labels + np.log1p(np.exp(-np.abs(wide)))
    return Metrics(int(logits.size), _auc(logits, labels), float(losses.mean()))


def _auc(logits: FloatArray, labels: FloatArray) -> float | None:
    positives = int((labels > 0.5).sum())
    negatives = labels.size - positives
    if positives == 0 or negatives == 0 or not np.isfinite(logits).all():
        return None
    order = np.argsort(logits, kind="stable")
    ordered, ordered_labels = logits[order], labels[order] > 0.5
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1])
    counts = np.diff(np.append(starts, ordered.size))
    mean_ranks = starts + (counts + 1) / 2
    positives_per_rank = np.add.reduceat(ordered_labels.astype(np.float64), starts)
    rank_sum = math.fsum((mean_ranks * positives_per_rank).tolist())
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
