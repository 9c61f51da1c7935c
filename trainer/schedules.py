"""The schedule of the deep part's learning rate over a training."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from trainer.training_size import sized_value
from transform.config import settings


def learning_rate(deep: settings.DeepOptimizer, step: tf.Tensor, num_steps: int) -> tf.Tensor:
    """Computes the learning rate of one step.

    Over the first `warmup_steps` it grows linearly: α·(step + 1) / warmup_steps. After them, with p the completed share
    of the remaining steps and f the final fraction: `constant` α; `cosine` α·(f + (1 - f)·(1 + cos πp) / 2);
    `exponential` α·f^p.

    Args:
      deep: α, the schedule, the warm-up and f.
      step: int64 scalar, the steps done; from `num_steps` on, the rate is constant.
      num_steps: Steps of the training.

    Returns:
      float32 scalar.
    """
    done = tf.cast(step, tf.float32)
    p = tf.clip_by_value((done - deep.warmup_steps) / max(num_steps - deep.warmup_steps, 1), 0.0, 1.0)
    f = deep.min_lr_ratio
    factor = {
        "constant": lambda: tf.ones_like(p),
        "cosine": lambda: f + (1 - f) * (1 + tf.cos(math.pi * p)) / 2,
        "exponential": lambda: tf.pow(f, p),
    }[deep.schedule]()
    warmup = tf.minimum((done + 1) / max(deep.warmup_steps, 1), 1.0)
    return sized_value(deep.learning_rate, "deep_optimizer.learning_rate") * factor * warmup


def for_training(
    deep: settings.DeepOptimizer, step: tf.Variable, num_steps: int | None
) -> Callable[[], tf.Tensor] | None:
    """Returns a function that computes a step's learning rate, or None if the rate is the same in all steps.

    Args:
      deep: The schedule.
      step: The steps done in this training; an optimizer's own count continues from one training to the next.
      num_steps: Steps of the training.

    Raises:
      ValueError: If there is a schedule and no `num_steps`.
    """
    if deep.schedule == "constant" and deep.warmup_steps == 0:
        return None
    if num_steps is None:
        raise ValueError(f"`num_steps` must be given where there is a schedule. Received: None, with {deep.schedule}")
    return lambda: learning_rate(deep, step, num_steps)
