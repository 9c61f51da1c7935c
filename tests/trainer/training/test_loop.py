"""A training's early stopping, progress and failures, on a dataset in memory."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest

from tests.trainer.memory_data import (
    BATCH_SIZE,
    COUNTS,
    NUM_EXAMPLES,
    batches_of,
    dataset,
    every_epoch,
    wide_model_of,
)
from trainer.optimizers import JointOptimizer, ftrl_linear
from trainer.training.data import LabelCounts
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.loop import TrainingError, train
from trainer.training.position import Epoch
from trainer.training.progress import PROGRESS_LOGGER, Progress
from trainer.training_size import sized
from trainer.wide_deep.model import WideDeep
from transform.config import settings
from transform.config.config import Config


@pytest.fixture
def wide_model(config: Config) -> WideDeep:
    return wide_model_of(config)


@pytest.mark.parametrize("monitor", ["auc", pytest.param("logloss", marks=pytest.mark.slow)])
def test_patience_goes_back_to_the_best_epoch(config: Config, wide_model: WideDeep, monitor: Any) -> None:
    """The validation labels are mostly flipped, so that the validation metric soon gets worse."""
    held_out = dataset(1).take(1).concatenate(dataset(2, flipped=True))
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=20, patience=2, monitor=monitor), NUM_EXAMPLES)
    optimizers = JointOptimizer(wide_model, training)
    result = train(wide_model, optimizers, every_epoch(dataset(1)), held_out, training, COUNTS)

    quality = [getattr(e.validation, monitor) * (1 if monitor == "auc" else -1) for e in result.epochs]
    best = int(np.argmax(quality))
    assert len(quality) == best + 3 < 20, "two epochs without a better one end the training"
    assert result.exported_epoch == best + 1
    assert result.num_steps == len(quality) * 4
    assert [epoch.num_examples for epoch in result.epochs] == [NUM_EXAMPLES] * len(quality)
    assert evaluate(logits_function(wide_model), held_out) == result.validation

    # The optimizers' state is also that epoch's: it equals the state of a training that ends with it.
    shorter = dataclasses.replace(training, num_epochs=result.exported_epoch, patience=0)
    fresh = wide_model_of(config)
    fresh_optimizers = JointOptimizer(fresh, shorter)
    train(fresh, fresh_optimizers, every_epoch(dataset(1)), dataset(2), shorter, COUNTS)
    for kept, expected in zip(optimizers.state(), fresh_optimizers.state(), strict=True):
        np.testing.assert_array_equal(kept.numpy(), expected.numpy())


def test_what_is_monitored_decides_which_epoch_is_best(config: Config) -> None:
    """The scores only move apart: the AUC is constant after one epoch, the logloss gets better and then worse."""
    apps = np.array([0] * 10 + [1] * 10)
    labels = np.array([1, 1, 1, 0, 1, 1, 1, 0, 1, 1] + [0] * 9 + [1], np.float32)
    held_out = batches_of(apps, labels, np.ones(20, np.float32), 20)
    seen = every_epoch(batches_of(apps, (apps == 0).astype(np.float32), np.ones(20, np.float32), 20))
    training = settings.Training(
        batch_size=20,
        num_epochs=60,
        patience=3,
        wide_optimizer=settings.Ftrl(learning_rate=0.3, initial_accumulator=0.1),
    )
    by_auc, by_logloss = (dataclasses.replace(training, monitor=name) for name in ("auc", "logloss"))
    assert training == by_logloss, "by default"
    exported = []
    for training in (by_auc, by_logloss):
        model = wide_model_of(config)
        result = train(model, JointOptimizer(model, training), seen, held_out, training, COUNTS)
        exported.append(result.exported_epoch)
    of_auc, of_logloss = exported
    assert of_auc == 1
    assert 1 < of_logloss < 57


def test_progress_is_logged_seldom_and_at_the_end(wide_model: WideDeep, caplog: pytest.LogCaptureFixture) -> None:
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=20, patience=0), NUM_EXAMPLES)
    optimizers = JointOptimizer(wide_model, training)
    with caplog.at_level(logging.INFO, logger=PROGRESS_LOGGER):
        result = train(wide_model, optimizers, every_epoch(dataset(1)), dataset(2), training, COUNTS)
    records = [r for r in caplog.records if r.name == PROGRESS_LOGGER]
    reports: list[Progress] = [r.progress for r in records if hasattr(r, "progress")]
    stages = [r.stage for r in records if hasattr(r, "stage")]
    assert stages == [f"validating epoch {epoch}" for epoch in range(1, 21)]
    assert 2 <= len(reports) <= 2 + result.seconds / 0.5
    first, last = reports[0], reports[-1]
    # The first step is not reported, because it builds the graph.
    assert (first.step, first.num_steps, first.epoch, first.num_epochs) == (2, 80, 1, 20)
    assert (last.step, last.num_steps, last.epoch, last.seconds_left) == (80, 80, 20, 0.0)
    assert last.loss == pytest.approx(result.epochs[-1].loss)
    assert last.examples_per_second == pytest.approx(result.examples_per_second)
    assert last.loss < first.loss


def test_the_loss_of_an_epoch_is_the_weighted_mean(wide_model: WideDeep) -> None:
    """With a learning rate near zero, every score stays 3/4."""
    ftrl = settings.Ftrl(learning_rate=1e-9, initial_accumulator=0.1)
    training = settings.Training(batch_size=2, num_epochs=1, wide_optimizer=ftrl)
    optimizers = JointOptimizer(wide_model, training)
    bias, slots = np.full([], np.log(3), np.float32), optimizers.slots(wide_model.bias)
    wide_model.bias.assign(bias)
    slots["linear"].assign(ftrl_linear(bias, slots["accumulator"].numpy(), ftrl, bias))
    labels, weights = np.array([1, 0, 0, 1, 1], np.float32), np.array([1, 2, 0, 5, 0.5], np.float32)
    batches = batches_of(np.arange(5), labels, weights, 2)  # the last batch has one example
    result = train(wide_model, optimizers, every_epoch(batches), batches, training, LabelCounts(2, 3))
    by_hand = ((1 + 5 + 0.5) * np.log(4 / 3) + 2 * np.log(4)) / 8.5
    (epoch,) = result.epochs
    assert epoch == Epoch(1, 5, epoch.loss, result.validation)
    assert epoch.loss == pytest.approx(by_hand, rel=1e-6)
    assert result.validation.logloss == pytest.approx(by_hand, rel=1e-6)


def test_no_training_examples_is_an_error(wide_model: WideDeep) -> None:
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=1), NUM_EXAMPLES)
    nothing, optimizers = dataset(1).take(0), JointOptimizer(wide_model, training)
    with pytest.raises(TrainingError, match="there are no training examples"):
        train(wide_model, optimizers, every_epoch(nothing), dataset(2), training, LabelCounts(0, 0))


def test_a_diverged_training_is_an_error(wide_model: WideDeep) -> None:
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=1), NUM_EXAMPLES)
    wide_model.bias.assign(float("nan"))
    with pytest.raises(TrainingError, match="the loss of epoch 1 is nan at step 1"):
        train(
            wide_model,
            JointOptimizer(wide_model, training),
            every_epoch(dataset(1)),
            dataset(2),
            training,
            COUNTS,
        )


@pytest.mark.parametrize(
    ("monitor", "message"),
    [("auc", "needs validation examples of both labels"), ("logloss", "needs validation examples")],
)
def test_patience_needs_something_to_monitor(wide_model: WideDeep, monitor: Any, message: str) -> None:
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=2, patience=1, monitor=monitor), NUM_EXAMPLES)
    optimizers = JointOptimizer(wide_model, training)
    with pytest.raises(TrainingError, match=message):
        train(wide_model, optimizers, every_epoch(dataset(1)), dataset(2).take(0), training, COUNTS)
