"""Trains a model epoch by epoch, keeps the best epoch with early stopping, and resumes a killed training."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable

import tensorflow as tf

from trainer.optimizers import JointOptimizer
from trainer.training.checkpoints import Checkpoints
from trainer.training.data import LabelCounts
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.event_files import EventFiles
from trainer.training.position import Epoch, Metrics, TrainingProgress
from trainer.training.progress import ProgressLog, log_stage
from trainer.training.step import steps_function
from trainer.training_size import sized_value
from trainer.wide_deep.model import WideDeep
from transform.config import settings

_logger = logging.getLogger(__name__)

#: Returns the batches of an epoch (the first argument, from 1) without a number of its first ones (the second). Each
#: epoch has its own order, which is always the same.
EpochBatches = Callable[[int, int], tf.data.Dataset]

#: The target duration of one call of the graph. In a small model's single step, Python takes a third of the time.
_SECONDS_IN_ONE_GO = 0.25
_MAX_STEPS_IN_ONE_GO = 100


class TrainingError(RuntimeError):
    """A training cannot start or failed; the message is one sentence for a user."""


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
      num_examples: The number of training examples that exist.
      num_steps: The total number of mini-batches.
      epochs: All epochs that ran.
      exported_epoch: The epoch, from 1, whose weights and optimizer state the model holds now.
      seconds: Duration of the whole training, including validation; excluding the time between a checkpoint and a kill.
      examples_per_second: The speed of the training steps, without the first ones, which build the graph.
      resumed_at: The steps at which the training resumed after it was killed.
      validation: The quality of the model as it is now.
    """

    num_examples: int
    num_steps: int
    epochs: tuple[Epoch, ...]
    exported_epoch: int
    seconds: float
    examples_per_second: float
    resumed_at: tuple[int, ...]
    validation: Metrics


def steps_per_epoch(counts: LabelCounts, training: settings.Training) -> int:
    """The number of steps per epoch; the expected number if negatives are drawn."""
    batch_size = sized_value(training.batch_size, "batch_size")
    return math.ceil(counts.after_drawing(training.negative_sampling_rate) / batch_size)


def train(
    model: WideDeep,
    optimizers: JointOptimizer,
    train_data: EpochBatches,
    eval_data: tf.data.Dataset,
    training: settings.Training,
    counts: LabelCounts,
    checkpoint_folder: str | None = None,
    events: EventFiles | None = None,
) -> TrainingResult:
    """Trains the model in place.

    Without `patience` the model ends with the last epoch's weights and optimizer state; with it, with those of the
    epoch that is best by `monitor`.

    Args:
      model: The model, cold or warm-started.
      optimizers: Its optimizers.
      train_data: Returns each epoch's batches.
      eval_data: The batches for validation.
      training: The settings, `sized`.
      counts: The training examples by label.
      checkpoint_folder: The folder for checkpoints, from which the training resumes if it has any; None for no
        checkpoints.
      events: TensorBoard's event files, written while it trains; None for none.

    Raises:
      TrainingError: If there are no training examples, the loss is not finite, or the monitored metric is undefined.
    """
    if counts.total == 0:
        raise TrainingError("there are no training examples; check the sources' paths and the split")
    events = events or EventFiles(None)
    return _Loop(model, optimizers, train_data, eval_data, training, counts, checkpoint_folder, events).run()


class _Loop:
    """A running training; arguments as in `train`."""

    def __init__(
        self,
        model: WideDeep,
        optimizers: JointOptimizer,
        train_data: EpochBatches,
        eval_data: tf.data.Dataset,
        training: settings.Training,
        counts: LabelCounts,
        checkpoint_folder: str | None,
        events: EventFiles,
    ) -> None:
        self._train_data, self._eval_data, self._training, self._counts = train_data, eval_data, training, counts
        self._events = events
        self._state = optimizers.state()
        self._best = [tf.Variable(v, trainable=False) for v in self._state] if training.patience else []
        self._checkpoints: Checkpoints | None = None
        if checkpoint_folder is not None:
            variables = [*self._state, *self._best]
            self._checkpoints = Checkpoints(checkpoint_folder, training.checkpoint_seconds, variables)
        self._do_steps = steps_function(model, optimizers, training.negative_sampling_rate)
        self._logits_of = logits_function(model)
        self._num_epochs = sized_value(training.num_epochs, "num_epochs")
        self._progress = ProgressLog(self._num_epochs * steps_per_epoch(counts, training), self._num_epochs)
        self._steps_in_one_go = 1
        self._started = time.monotonic()

    def run(self) -> TrainingResult:
        position = self._resumed() or TrainingProgress()
        self._started -= position.seconds
        for epoch in position.epochs:  # so that those of a training that was killed are in one file
            self._events.write_epoch(epoch)
        while not self._is_over(position):
            position = self._train_epoch(position)
        last = len(position.epochs)
        exported = position.best_epoch or last
        if exported != last:
            for variable, value in zip(self._state, self._best, strict=True):
                variable.assign(value)
        self._progress.finish(position.step, last, position.epochs[-1].loss)
        return TrainingResult(
            num_examples=self._counts.total,
            num_steps=position.step,
            epochs=position.epochs,
            exported_epoch=exported,
            seconds=time.monotonic() - self._started,
            examples_per_second=self._progress.examples_per_second,
            resumed_at=position.resumed_at,
            validation=position.epochs[exported - 1].validation,
        )

    def _resumed(self) -> TrainingProgress | None:
        position = self._checkpoints.restore() if self._checkpoints else None
        if position is None:
            return None
        _logger.info("the training resumes from step %d, in epoch %d", position.step, position.epoch)
        return dataclasses.replace(position, resumed_at=(*position.resumed_at, position.step))

    def _is_over(self, position: TrainingProgress) -> bool:
        ran, patience = len(position.epochs), self._training.patience
        waited = 0 if position.best_epoch is None else ran - position.best_epoch
        return ran >= self._num_epochs or bool(patience and waited >= patience)

    def _train_epoch(self, position: TrainingProgress) -> TrainingProgress:
        """Trains to the end of the running epoch, and validates."""
        batches = iter(self._train_data(position.epoch, position.epoch_steps))
        more = True
        while more:
            start = time.monotonic()
            num_steps = tf.constant(self._steps_in_one_go, tf.int64)
            sums = [tf.constant(value, tf.float64) for value in (position.loss_sum, position.weight_sum)]
            more, *done = (value.numpy() for value in self._do_steps(batches, num_steps, *sums))
            steps, examples, loss_sum, weight_sum = int(done[0]), int(done[1]), float(done[2]), float(done[3])
            if steps == 0:
                break
            seconds = time.monotonic() - start
            self._steps_in_one_go = min(max(int(_SECONDS_IN_ONE_GO * steps / seconds), 1), _MAX_STEPS_IN_ONE_GO)
            position = position.after_steps(steps, examples, loss_sum, weight_sum)
            if not math.isfinite(position.loss):
                raise TrainingError(
                    f"the training diverged: the loss of epoch {position.epoch} is {position.loss} at step "
                    f"{position.step}; try lower learning rates"
                )
            self._progress.add(steps, examples, seconds)
            self._progress.report(position.step, position.epoch, position.loss)
            self._events.write_steps(position.step, position.loss)
            self._save_if_due(position)
        position = self._validate(position)
        self._events.write_epoch(position.epochs[-1])
        self._save_if_due(position)
        return position

    def _save_if_due(self, position: TrainingProgress) -> None:
        if self._checkpoints is not None:
            seconds = time.monotonic() - self._started
            self._checkpoints.save_if_due(dataclasses.replace(position, seconds=seconds))

    def _validate(self, position: TrainingProgress) -> TrainingProgress:
        log_stage(f"validating epoch {position.epoch}")
        metrics = evaluate(self._logits_of, self._eval_data)
        _logger.info(
            "epoch %d: training loss %.5f, validation AUC %s, logloss %s",
            *(position.epoch, position.loss, metrics.auc, metrics.logloss),
        )
        if not self._training.patience:
            return position.after_epoch(metrics, is_best=False)
        quality, best = self._quality(metrics), position.best_epoch
        is_best = best is None or quality > self._quality(position.epochs[best - 1].validation)
        if is_best:
            for variable, value in zip(self._best, self._state, strict=True):
                variable.assign(value)
        return position.after_epoch(metrics, is_best)

    def _quality(self, metrics: Metrics) -> float:
        """The value that early stopping maximizes."""
        monitor = self._training.monitor
        value = metrics.auc if monitor == "auc" else metrics.logloss
        if value is None:
            needed = "validation examples of both labels" if monitor == "auc" else "validation examples"
            raise TrainingError(
                f"early stopping (`training.patience`) needs {needed}, to have a validation {monitor}. "
                f"Received: {metrics.num_examples} examples"
            )
        return value if monitor == "auc" else -value
