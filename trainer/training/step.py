"""The steps of joint training (paper, section 3.3): one mini-batch, one loss, both parts updated from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.optimizers import JointOptimizer
from trainer.training.data import Batch
from trainer.wide_deep.model import WideDeep


def train_step(
    model: WideDeep, optimizers: JointOptimizer, batch: Batch, negative_sampling_rate: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Updates the model once.

    The loss is Σ w·l / Σ w + the model's penalty, with l an example's logistic loss and w its weight. If only a share f
    of the negatives is trained on, the odds among the training examples are 1/f times the odds of the whole log.
    Therefore l is computed at logit - ln f, so that the model's own logits predict the odds of the whole log.

    Args:
      model: The model.
      optimizers: Its optimizers.
      batch: Features, labels and weights.
      negative_sampling_rate: f.

    Returns:
      Σ w·l before the update and Σ w, both float32 scalars.
    """
    features, labels, weights = batch
    with tf.GradientTape() as tape:
        logits, penalty = model.training_logits(features)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits - math.log(negative_sampling_rate))
        loss_sum, weight_sum = tf.reduce_sum(weights * losses), tf.reduce_sum(weights)
        loss = tf.math.divide_no_nan(loss_sum, weight_sum) + penalty  # a batch without weight has no loss
    optimizers.apply(tape.gradient(loss, optimizers.variables))
    model.step.assign_add(1)
    return loss_sum, weight_sum


def steps_function(model: WideDeep, optimizers: JointOptimizer, negative_sampling_rate: float) -> Callable[..., Any]:
    """Returns a graph function that runs many steps.

    Its arguments are an iterator of batches, the number of steps, int64, and the epoch's Σ w·l and Σ w so far, float64.
    It returns whether there may be more batches, the number of steps done and the number of their examples, both int64,
    and the two updated sums.
    """

    def do_steps(batches: Any, num_steps: tf.Tensor, loss_sum: tf.Tensor, weight_sum: tf.Tensor) -> Any:
        def do_step(more: tf.Tensor, *done: tf.Tensor) -> Any:
            optional = batches.get_next_as_optional()

            def step() -> Any:
                batch = optional.get_value()
                losses = train_step(model, optimizers, batch, negative_sampling_rate)
                added = (1, tf.size(batch[1]), *losses)
                return (more, *(total + tf.cast(value, total.dtype) for total, value in zip(done, added, strict=True)))

            return tf.cond(optional.has_value(), step, lambda: (tf.constant(False), *done))

        start = (tf.constant(True), tf.zeros([], tf.int64), tf.zeros([], tf.int64), loss_sum, weight_sum)
        return tf.while_loop(lambda more, steps, *_: more & (steps < num_steps), do_step, start, parallel_iterations=1)

    return tf.function(do_steps, autograph=False)  # type: ignore[no-any-return]
