"""The deep part's attributions by feature."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.explanations.integrated_gradients import mean_gradients
from trainer.wide_deep.model import Features, WideDeep, read_batch_size
from transform.feature import middle_number
from transform.signature_names import (
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_BASELINE_LOGITS_OUTPUT,
    DEEP_GAPS_OUTPUT,
    DEEP_LOGITS_OUTPUT,
)

_OUTPUTS = (DEEP_LOGITS_OUTPUT, DEEP_BASELINE_LOGITS_OUTPUT, DEEP_ATTRIBUTIONS_OUTPUT, DEEP_GAPS_OUTPUT)


def deep_baseline(model: WideDeep) -> np.ndarray:
    """The baseline, float32 `[1, width]`: zero embeddings, and the median or the mean of each number.

    An embedding of zeros is the mean of the initial ones, the initial one of unknown and missing values, and what an
    empty list gives. A number's two columns are those of the middle quantile or, standardized, of the mean, not
    missing.
    """
    blocks = [[middle_number(b.scale), 0.0] if b.vocabulary is None else [0.0] * b.width for b in model.layout]
    return np.array([[value for block in blocks for value in block]], np.float32)


def explain_deep(model: WideDeep, features: Features) -> dict[str, tf.Tensor]:
    """Attributes the deep logit of each row to the features, by integrated gradients.

    Args:
      model: The trained model.
      features: By transformed name, as in `WideDeep.deep_input`.

    Returns:
      By the outputs' names of an explanation (`transform.signature_names`), float32: the logits, `[rows]`; those of the
      baseline, the same for all rows; the attributions, `[rows, features]`, by feature of the model's layout; and the
      gaps: logits - baseline logits - Σ attributions. Zeros, of no feature, if the model has no deep part.
    """
    hidden_layers = model.hidden_layers
    if hidden_layers is None:
        zeros = tf.zeros([read_batch_size(features)])
        return dict(zip(_OUTPUTS, (zeros, zeros, tf.zeros([tf.size(zeros), 0]), zeros), strict=True))
    kernel, bias = (hidden_layers.named_variables[f"dense_0/{name}"] for name in ("kernel", "bias"))
    baseline = tf.constant(deep_baseline(model))
    inputs = tf.ensure_shape(model.deep_input(features), [None, baseline.shape[1]])
    # The path is straight in the first layer's sums, too. So the gradients are averaged there, and only their mean
    # goes back through the first layer's kernel, which is the largest.
    start, end = (tf.matmul(x, kernel) + bias for x in (baseline, inputs))
    means = tf.matmul(mean_gradients(hidden_layers.after_first_sum, start, end), kernel, transpose_b=True)
    parts = tf.split((inputs - baseline) * means, [block.width for block in model.layout], axis=1)
    attributions = tf.stack([tf.reduce_sum(part, axis=1) for part in parts], axis=1)
    logits, at_baseline = hidden_layers.after_first_sum(end), hidden_layers.after_first_sum(start)
    baseline_logits = tf.tile(at_baseline, tf.shape(logits))
    gaps = logits - baseline_logits - tf.reduce_sum(attributions, axis=1)
    return dict(zip(_OUTPUTS, (logits, baseline_logits, attributions, gaps), strict=True))
