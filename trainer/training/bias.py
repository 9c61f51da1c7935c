"""Corrects the bias after a training: the mean score of the training examples becomes their positive share.

The last steps of an epoch leave the mean score where their few examples moved it, by the bias and by the deep part, and
the epoch is exported as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainer.optimizers import JointOptimizer, set_bias
from trainer.training.data import Batch
from trainer.training.evaluation import logits_function
from trainer.wide_deep.model import WideDeep
from transform.config import settings

#: The logits are counted in bins, so that the memory does not grow with the number of examples: bins so many to a unit,
#: from -`_LIMIT` to `_LIMIT`, where a score is 0 or 1 to 14 digits. Logits beyond are counted in the outermost bins.
_BINS_PER_UNIT, _LIMIT = 1024, 32

#: Halvings of the interval that holds the correction: 128 / 2^40 is 1e-10.
_HALVINGS = 40


def correct_bias(
    model: WideDeep, optimizers: JointOptimizer, training: settings.Training, examples: Iterable[Batch]
) -> float:
    """Adds the δ to the bias, in place, for which Σ w·σ(l + δ) = Σ w·y, and has FTRL's state hold it there.

    Of all δ it gives the examples the smallest logistic loss. With l an example's logit without dropout, rounded to
    1/1024, y its label and w its weight.

    Args:
      model: The trained model.
      optimizers: Its optimizers.
      training: The optimizers' settings.
      examples: Batches of examples, with all negatives.

    Returns:
      δ; 0, and nothing is changed, if the examples with weight are all of one label or none: no δ is the best.
    """
    logits_of = logits_function(model)
    weights, positive = np.zeros(2 * _LIMIT * _BINS_PER_UNIT + 1), 0.0
    for features, labels, of_batch in examples:
        logits = np.clip(logits_of(features).numpy().astype(np.float64), -_LIMIT, _LIMIT)
        bins = np.rint((logits + _LIMIT) * _BINS_PER_UNIT).astype(np.int64)
        weights += np.bincount(bins, of_batch.numpy(), weights.size)
        positive += float(of_batch.numpy().astype(np.float64) @ labels.numpy())
    if not 0 < positive < weights.sum():
        return 0.0
    (used,) = np.nonzero(weights)
    logits, weights = used / _BINS_PER_UNIT - _LIMIT, weights[used]
    low, high = -2.0 * _LIMIT, 2.0 * _LIMIT
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = weights @ (1 / (1 + np.exp(-logits - middle))) < positive
        low, high = (middle, high) if is_below else (low, middle)
    set_bias(model, optimizers, training, float(model.bias.numpy()) + low)
    return low
