"""Reports how far a training is, through a logger, for whoever shows it."""

from __future__ import annotations

import dataclasses

#: The logger's name; each record carries a `Progress` as its attribute `progress`.
PROGRESS_LOGGER = "trainer.progress"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
      step: Steps done.
      num_steps: Steps in all, if no early stop comes.
      epoch: The running epoch, from 1.
      num_epochs: Epochs in all, if no early stop comes.
      examples_per_second: Mean so far. Validation does not count, nor does the first step, which builds the graph.
      loss: Mean logistic loss of the epoch's examples so far.
      seconds_left: Until the last step, at the speed so far.
    """

    step: int
    num_steps: int
    epoch: int
    num_epochs: int
    examples_per_second: float
    loss: float
    seconds_left: float
