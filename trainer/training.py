"""Trains a model over all examples, epoch by epoch, and keeps the best epoch where that is asked for."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import Any

import tensorflow as tf
import tf_keras

from trainer.evaluation import Metrics, evaluate, logits_function
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer
from trainer.progress_callback import ProgressCallback
from transform import settings

_logger = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A training that cannot start or that went wrong; its text is one sentence for a person."""


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch: its number from 1, its mean training loss, and the quality on the evaluation examples after it."""

    epoch: int
    loss: float
    validation: Metrics


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a training did.

    Attributes:
      num_examples: Training examples per epoch.
      num_steps: Mini-batches in all.
      epochs: All epochs that ran.
      exported_epoch: The epoch, from 1, whose weights and optimizer state the model holds now.
      seconds: Of the whole training, validation included.
      examples_per_second: Of the training steps alone, without the first, which builds the graph.
    """

    num_examples: int
    num_steps: int
    epochs: tuple[Epoch, ...]
    exported_epoch: int
    seconds: float
    examples_per_second: float

    @property
    def validation(self) -> Metrics:
        """The quality of the epoch that the model holds now."""
        return self.epochs[self.exported_epoch - 1].validation


class _Epochs(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates after each epoch; with `patience`, stops early and goes back to the best epoch."""

    def __init__(
        self, model: WideDeep, optimizers: JointOptimizer, dataset: tf.data.Dataset, patience: int | None
    ) -> None:
        super().__init__()
        self._logits_of = logits_function(model)
        self._optimizers, self._dataset, self._patience = optimizers, dataset, patience
        self._best_auc = float("-inf")
        self._best_state: list[Any] | None = None
        self.epochs: list[Epoch] = []
        self.best_epoch: int | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        number, loss = epoch + 1, float((logs or {})["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the training diverged: the loss of epoch {number} is {loss}; try lower learning rates"
            )
        metrics = evaluate(self._logits_of, self._dataset)
        self.epochs.append(Epoch(number, loss, metrics))
        _logger.info("epoch %d: training loss %.5f, validation AUC %s", number, loss, metrics.auc)
        if self._patience is None:
            return
        if metrics.auc is None:
            raise TrainingError(
                "`training.patience` needs evaluation examples of both labels, to have a validation AUC. "
                f"Received: {metrics.num_examples} examples"
            )
        if metrics.auc > self._best_auc:
            self._best_auc, self.best_epoch = metrics.auc, number
            self._best_state = [variable.numpy() for variable in self._optimizers.state()]
        elif number - (self.best_epoch or 0) >= self._patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._best_state is not None and self.best_epoch != len(self.epochs):
            for variable, value in zip(self._optimizers.state(), self._best_state, strict=True):
                variable.assign(value)


def train(
    model: WideDeep,
    optimizers: JointOptimizer,
    train_data: tf.data.Dataset,
    eval_data: tf.data.Dataset,
    training: settings.Training,
    num_examples: int,
) -> TrainingResult:
    """Trains the model in place.

    Without `patience` the model holds the last epoch afterwards; with it, the epoch with the best validation AUC:
    its weights and its optimizer state.

    Args:
      model: The model, cold or warm-started.
      optimizers: Its optimizers.
      train_data: Batches of (features, labels).
      eval_data: Batches of (features, labels) for validation.
      training: The settings.
      num_examples: The number of training examples.

    Returns:
      What the training did.

    Raises:
      TrainingError: If there are no training examples, or the loss is no longer finite.
    """
    if num_examples == 0:
        raise TrainingError("there are no training examples; check the sources' paths and the split")
    model.compile(optimizers)
    epochs = _Epochs(model, optimizers, eval_data, training.patience)
    progress = ProgressCallback(num_examples, training.batch_size, training.num_epochs)
    start = time.monotonic()
    model.fit(train_data, epochs=training.num_epochs, verbose=0, callbacks=[progress, epochs])
    ran = len(epochs.epochs)
    return TrainingResult(
        num_examples=num_examples,
        num_steps=ran * -(-num_examples // training.batch_size),
        epochs=tuple(epochs.epochs),
        exported_epoch=epochs.best_epoch or ran,
        seconds=time.monotonic() - start,
        examples_per_second=progress.examples_per_second,
    )
