"""The Keras callback that reports a training's progress."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

import tf_keras

from trainer.progress import PROGRESS_LOGGER, Progress

_INTERVAL_SECONDS = 0.5


class ProgressCallback(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Logs a `Progress` at most twice a second, and one when training ends.

    Args:
      num_examples: Per epoch.
      batch_size: Per step.
      num_epochs: At most.
    """

    def __init__(self, num_examples: int, batch_size: int, num_epochs: int) -> None:
        super().__init__()
        self._supports_tf_logs = True  # the loss is read when it is reported, not in each step
        self._logger = logging.getLogger(PROGRESS_LOGGER)
        self._num_examples, self._batch_size, self._num_epochs = num_examples, batch_size, num_epochs
        self._steps_per_epoch = -(-num_examples // batch_size)
        self._epoch = 0
        self._step = 0
        self._examples = 0
        self._examples_done = 0
        self._seconds = 0.0
        self._resumed = 0.0
        self._reported = float("-inf")
        self._loss = float("nan")

    @property
    def examples_per_second(self) -> float:
        """As in `Progress`."""
        return self._examples / max(self._seconds, 1e-9)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1
        self._resumed = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if self._step == 1:  # the first step's time is kept only until there is a second
            self._seconds, self._examples = 0.0, 0
        self._seconds += now - self._resumed
        self._resumed = now
        self._step += 1
        size = min(self._batch_size, self._num_examples - batch * self._batch_size)
        self._examples += size
        self._examples_done += size
        if self._step > 1 and now - self._reported >= _INTERVAL_SECONDS:  # the first step's speed foretells nothing
            self._report(float((logs or {})["loss"]))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._loss = float((logs or {})["loss"])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._report(self._loss)

    def _report(self, loss: float) -> None:
        self._reported = time.monotonic()
        num_steps = self._steps_per_epoch * self._num_epochs
        examples_left = self._num_examples * self._num_epochs - self._examples_done
        progress = Progress(
            step=self._step,
            num_steps=num_steps,
            epoch=self._epoch,
            num_epochs=self._num_epochs,
            examples_per_second=self.examples_per_second,
            loss=loss,
            seconds_left=examples_left / max(self.examples_per_second, 1e-9),
        )
        self._logger.info(
            "step %d of %d, epoch %d of %d, %.0f examples/s, loss %.4f, %.0f s left",
            *dataclasses.astuple(progress),
            extra={"progress": progress},
        )
