"""Reports a training's progress through a logger."""

from __future__ import annotations

import dataclasses
import logging
import time

#: The logger's name. A record has either the attribute `progress`, a `Progress`, or the attribute `stage`, a text.
PROGRESS_LOGGER = "trainer.progress"

_INTERVAL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Progress:
    """A training's progress.

    Attributes:
      step: Steps done.
      num_steps: Steps in total, unless the training stops early; an estimate if negatives are drawn.
      epoch: The running epoch, from 1.
      num_epochs: Epochs in total, unless the training stops early.
      examples_per_second: Mean of this process so far, excluding validation and the first steps, which build the graph.
      loss: Mean logistic loss of the epoch's examples so far.
      seconds_left: Seconds until the last step, at the speed so far.
    """

    step: int
    num_steps: int
    epoch: int
    num_epochs: int
    examples_per_second: float
    loss: float
    seconds_left: float


def log_stage(stage: str) -> None:
    """Logs what the trainer does outside of training steps, such as `exporting the model`."""
    logging.getLogger(PROGRESS_LOGGER).info("%s", stage, extra={"stage": stage})


class ProgressLog:
    """Logs a `Progress` at most twice a second, and one when the training ends.

    Args:
      num_steps: As in `Progress`.
      num_epochs: The maximum number of epochs.
    """

    def __init__(self, num_steps: int, num_epochs: int) -> None:
        self._logger = logging.getLogger(PROGRESS_LOGGER)
        self._num_steps, self._num_epochs = num_steps, num_epochs
        self._num_calls = 0
        self._steps = self._examples = 0
        self._seconds = 0.0
        self._reported = float("-inf")

    @property
    def examples_per_second(self) -> float:
        """As in `Progress`."""
        return self._examples / max(self._seconds, 1e-9)

    def add(self, steps: int, examples: int, seconds: float) -> None:
        """Counts the steps of one call of the graph."""
        self._num_calls += 1
        if self._num_calls == 2:  # the first call's time includes building the graph: use it only until the second
            self._steps, self._examples, self._seconds = 0, 0, 0.0
        self._steps += steps
        self._examples += examples
        self._seconds += seconds

    def report(self, step: int, epoch: int, loss: float) -> None:
        """Logs the progress if the interval has passed; not after the first call, whose speed is not representative."""
        if self._num_calls > 1 and time.monotonic() - self._reported >= _INTERVAL_SECONDS:
            self._log(step, max(step, self._num_steps), epoch, loss)

    def finish(self, step: int, epoch: int, loss: float) -> None:
        """Logs the end of the training."""
        self._log(step, step, epoch, loss)

    def _log(self, step: int, num_steps: int, epoch: int, loss: float) -> None:
        self._reported = time.monotonic()
        progress = Progress(
            step=step,
            num_steps=num_steps,
            epoch=epoch,
            num_epochs=self._num_epochs,
            examples_per_second=self.examples_per_second,
            loss=loss,
            seconds_left=(num_steps - step) * self._seconds / max(self._steps, 1),
        )
        self._logger.info(
            "step %d of %d, epoch %d of %d, %.0f examples/s, loss %.4f, %.0f s left",
            *dataclasses.astuple(progress),
            extra={"progress": progress},
        )
