"""The settings of a training that follow from the number of its examples, where the config leaves them out."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from transform.config import settings
from transform.config.effective import effective_training

_Value = TypeVar("_Value")

#: An epoch has about so many steps, with batches from the smallest to the largest.
_STEPS_PER_EPOCH = 100
SMALLEST_BATCH, _LARGEST_BATCH = 64, 1024

#: So many examples are trained on in all epochs together, with at most so many epochs.
_EXAMPLES = 3_000_000
_MOST_EPOCHS = 30

#: With fewer held-out examples of a label than this, an epoch's AUC or log loss is chance, and none are held out.
MIN_HELD_OUT = 20


def sized(training: settings.Training, num_examples: int, has_counts: bool = False) -> settings.Training:
    """Returns the settings with nothing left out: `effective_training`, and what follows from the number of examples.

    Args:
      training: The settings.
      num_examples: The number of training examples.
      has_counts: Whether there are count encodings.

    Returns:
      The settings, by the rules of `transform.config.effective.FOLLOWS`.
    """
    batch_size, num_epochs, ftrl = training.batch_size, training.num_epochs, training.wide_optimizer
    if batch_size is None:
        batch_size = SMALLEST_BATCH
        while batch_size < _LARGEST_BATCH and num_examples >= 1.5 * batch_size * _STEPS_PER_EPOCH:
            batch_size *= 2
    if num_epochs is None:
        num_epochs = min(max(round(_EXAMPLES / max(num_examples, 1)), 1), _MOST_EPOCHS)
    if ftrl.initial_accumulator is None:
        # A gradient is that of a batch's mean loss, to which an example adds (score - label) / batch size. With the
        # same accumulator for all batch sizes, a weight that few examples have would move the less, the larger the
        # batch. With this one, its first example moves it by learning rate · d / √(1 + d²), d = label - score, for any
        # batch, without λ1, λ2 and β and with the power -0.5. A warm start scales the accumulators that it carries.
        ftrl = dataclasses.replace(ftrl, initial_accumulator=batch_size**-2)
    counted = dataclasses.replace(training, batch_size=batch_size, num_epochs=num_epochs, wide_optimizer=ftrl)
    return effective_training(counted, has_counts)


def sized_value(value: _Value | None, key: str) -> _Value:
    """Returns a setting that `sized` has set; `key` is its place in `training`.

    Raises:
      ValueError: If it is None.
    """
    if value is None:
        raise ValueError(f"`training.{key}` must be set; `sized` sets it")
    return value
