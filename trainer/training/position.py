"""The position of a training, which a checkpoint holds beside the variables."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Quality on a set of weighted examples.

    Attributes:
      num_examples: The number of examples.
      auc: The area under the ROC curve, exact; None unless both labels have weight.
      logloss: The mean logistic loss in nats; None unless an example has weight.
    """

    num_examples: int
    auc: float | None
    logloss: float | None


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
      epoch: Its number, from 1.
      num_examples: The examples it was trained on: not all of them if negatives are drawn.
      loss: Their mean logistic loss, each example's with the weights before its own step.
      validation: The quality on the validation examples after the epoch.
    """

    epoch: int
    num_examples: int
    loss: float
    validation: Metrics


@dataclasses.dataclass(frozen=True)
class TrainingProgress:
    """The position of a training.

    Attributes:
      step: Steps done.
      epoch_steps: Steps done in the running epoch.
      epoch_examples: The number of the running epoch's examples so far.
      loss_sum: Σ w·l over them, with l the logistic loss and w the weight.
      weight_sum: Σ w over them.
      epochs: The finished epochs.
      best_epoch: With early stopping: the number of the best finished epoch.
      seconds: The duration of the training so far.
      resumed_at: The steps at which the training resumed after it was killed.
    """

    step: int = 0
    epoch_steps: int = 0
    epoch_examples: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    epochs: tuple[Epoch, ...] = ()
    best_epoch: int | None = None
    seconds: float = 0.0
    resumed_at: tuple[int, ...] = ()

    @property
    def epoch(self) -> int:
        """The running epoch, from 1."""
        return len(self.epochs) + 1

    @property
    def loss(self) -> float:
        """The mean loss of the running epoch's examples so far."""
        return self.loss_sum / self.weight_sum if self.weight_sum else 0.0

    def after_steps(self, steps: int, examples: int, loss_sum: float, weight_sum: float) -> TrainingProgress:
        """Returns the position after more steps of the running epoch; the two sums are the epoch's new totals."""
        return dataclasses.replace(
            self,
            step=self.step + steps,
            epoch_steps=self.epoch_steps + steps,
            epoch_examples=self.epoch_examples + examples,
            loss_sum=loss_sum,
            weight_sum=weight_sum,
        )

    def after_epoch(self, validation: Metrics, is_best: bool) -> TrainingProgress:
        """Returns the position at the start of the next epoch."""
        return dataclasses.replace(
            self,
            epoch_steps=0,
            epoch_examples=0,
            loss_sum=0.0,
            weight_sum=0.0,
            epochs=(*self.epochs, Epoch(self.epoch, self.epoch_examples, self.loss, validation)),
            best_epoch=self.epoch if is_best else self.best_epoch,
        )
