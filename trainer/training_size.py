"""The settings of a training that follow from the number of its examples, where the config leaves them out."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from transform.config import settings
from transform.example_keys import NUM_FOLDS

_Value = TypeVar("_Value")

#: An epoch has about so many steps, with batches from the smallest to the largest.
_STEPS_PER_EPOCH = 100
SMALLEST_BATCH, _LARGEST_BATCH = 64, 1024

#: So many examples are trained on in all epochs together, with at most so many epochs.
_EXAMPLES = 3_000_000
_MOST_EPOCHS = 30

#: With several epochs and a share of the examples held out: the epochs without a better one before training stops.
_PATIENCE = 2
_VALIDATION_FRACTION = 1 / NUM_FOLDS

#: With fewer held-out examples of a label than this, an epoch's AUC is chance, and none are held out by default.
MIN_HELD_OUT = 20


def validation_fraction(training: settings.Training, has_counts: bool) -> float:
    """Returns the share of the newest span's training examples that early stopping validates on.

    0 has it validate on the evaluation examples.

    Args:
      training: The settings.
      has_counts: Whether there are count encodings, whose tables are made of all training examples.
    """
    if training.validation_fraction is not None:
        return training.validation_fraction
    return 0.0 if has_counts or training.num_epochs is not None else _VALIDATION_FRACTION


def sized(training: settings.Training, num_examples: int) -> settings.Training:
    """Returns the settings with a batch size, a number of epochs and an initial accumulator of FTRL.

    Args:
      training: The settings.
      num_examples: The number of training examples.

    Returns:
      The settings. A batch size that is left out is the power of two from 64 to 1,024 with which an epoch has 75 to 150
      steps. A number of epochs that is left out is 3,000,000 examples' worth, from 1 to 30, and training stops
      earlier, after 2 epochs without a better one, if `patience` is left out too. An initial accumulator of FTRL that
      is None is (1 / batch size)².
    """
    batch_size, num_epochs, patience = training.batch_size, training.num_epochs, training.patience
    ftrl = training.wide_optimizer
    if batch_size is None:
        batch_size = SMALLEST_BATCH
        while batch_size < _LARGEST_BATCH and num_examples >= 1.5 * batch_size * _STEPS_PER_EPOCH:
            batch_size *= 2
    if num_epochs is None:
        num_epochs = min(max(round(_EXAMPLES / max(num_examples, 1)), 1), _MOST_EPOCHS)
        patience = patience or (_PATIENCE if num_epochs > 1 else None)
    if ftrl.initial_accumulator is None:
        # A gradient is that of a batch's mean loss, to which an example adds (score - label) / batch size. With the
        # same accumulator for all batch sizes, a weight that few examples have would move the less, the larger the
        # batch. With this one, its first example moves it by learning rate · d / √(1 + d²), d = label - score, for any
        # batch, without λ1, λ2 and β and with the power -0.5. A warm start scales the accumulators that it carries.
        ftrl = dataclasses.replace(ftrl, initial_accumulator=batch_size**-2)
    return dataclasses.replace(
        training, batch_size=batch_size, num_epochs=num_epochs, patience=patience, wide_optimizer=ftrl
    )


def sized_value(value: _Value | None, key: str) -> _Value:
    """Returns a setting that `sized` has set; `key` is its place in `training`.

    Raises:
      ValueError: If it is None.
    """
    if value is None:
        raise ValueError(f"`training.{key}` must be set; `sized` sets it")
    return value
