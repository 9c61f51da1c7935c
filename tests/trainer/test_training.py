"""Early stopping, progress and failures of a training, on a dataset in memory."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation import evaluate, logits_function
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer
from trainer.progress import PROGRESS_LOGGER, Progress
from trainer.training import TrainingError, train
from transform import settings
from transform.config import Config

NUM_EXAMPLES, BATCH_SIZE = 100, 32


def new_model(config: Config) -> WideDeep:
    return WideDeep(config.spec, dataclasses.replace(config.model, parts="wide"), {"app": 9, "installed_x_app": 9})


@pytest.fixture
def wide_model(config: Config) -> WideDeep:
    return new_model(config)


def dataset(seed: int, flipped: bool = False) -> tf.data.Dataset:
    """Batches in which the app alone tells the label, for nine in ten examples; or, flipped, the other label."""
    rng = np.random.default_rng(seed)
    apps = rng.integers(0, 10, NUM_EXAMPLES)
    labels = ((apps % 2 == 0) ^ (rng.random(NUM_EXAMPLES) < 0.1) ^ flipped).astype(np.float32)
    nothing = tf.sparse.from_dense(np.zeros([NUM_EXAMPLES, 1], np.int64))
    features: dict[str, Any] = {"app_xf": apps, "price_bucket_xf": np.zeros(NUM_EXAMPLES, np.int64)}
    features |= dict.fromkeys(("installed_xf", "installed_x_app_xf", "app_x_price_xf"), nothing)
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(BATCH_SIZE)


def test_patience_goes_back_to_the_best_epoch(config: Config, wide_model: WideDeep) -> None:
    """The validation labels are the opposite, so that each epoch is worse than the one before."""
    training = settings.Training(batch_size=BATCH_SIZE, num_epochs=10, patience=2)
    optimizers = JointOptimizer(wide_model, training)
    result = train(wide_model, optimizers, dataset(1), dataset(2, flipped=True), training, NUM_EXAMPLES)

    aucs = [epoch.validation.auc or 0.0 for epoch in result.epochs]
    best = int(np.argmax(aucs))
    assert len(aucs) == best + 3 < 10, "two epochs without a better AUC end the training"
    assert result.exported_epoch == best + 1
    assert result.num_steps == len(aucs) * 4
    assert evaluate(logits_function(wide_model), dataset(2, flipped=True)) == result.validation

    # The optimizers' state is that epoch's too: the same as of a training that ends there.
    shorter = dataclasses.replace(training, num_epochs=result.exported_epoch, patience=None)
    fresh = new_model(config)
    fresh_optimizers = JointOptimizer(fresh, shorter)
    train(fresh, fresh_optimizers, dataset(1), dataset(2), shorter, NUM_EXAMPLES)
    for kept, expected in zip(optimizers.state(), fresh_optimizers.state(), strict=True):
        np.testing.assert_allclose(kept.numpy(), expected.numpy(), rtol=1e-6)


def test_progress_is_logged_seldom_and_at_the_end(wide_model: WideDeep, caplog: pytest.LogCaptureFixture) -> None:
    training = settings.Training(batch_size=BATCH_SIZE, num_epochs=20)
    with caplog.at_level(logging.INFO, logger=PROGRESS_LOGGER):
        result = train(wide_model, JointOptimizer(wide_model, training), dataset(1), dataset(2), training, NUM_EXAMPLES)
    reports: list[Progress] = [r.progress for r in caplog.records if r.name == PROGRESS_LOGGER]  # type: ignore[attr-defined]
    assert 2 <= len(reports) <= 2 + result.seconds / 0.5
    first, last = reports[0], reports[-1]
    # Not the first step, which builds the graph.
    assert (first.step, first.num_steps, first.epoch, first.num_epochs) == (2, 80, 1, 20)
    assert (last.step, last.epoch, last.seconds_left) == (80, 20, 0.0)
    assert last.loss == pytest.approx(result.epochs[-1].loss)
    assert last.examples_per_second == pytest.approx(result.examples_per_second)
    assert last.loss < first.loss


def test_no_training_examples_is_an_error(wide_model: WideDeep) -> None:
    training = settings.Training()
    with pytest.raises(TrainingError, match="there are no training examples"):
        train(wide_model, JointOptimizer(wide_model, training), dataset(1).take(0), dataset(2), training, 0)


def test_a_diverged_training_is_an_error(wide_model: WideDeep) -> None:
    training = settings.Training(batch_size=BATCH_SIZE)
    wide_model.bias.assign(float("nan"))
    with pytest.raises(TrainingError, match="the loss of epoch 1 is nan"):
        train(wide_model, JointOptimizer(wide_model, training), dataset(1), dataset(2), training, NUM_EXAMPLES)


def test_patience_needs_a_validation_auc(wide_model: WideDeep) -> None:
    training = settings.Training(batch_size=BATCH_SIZE, patience=1)
    with pytest.raises(TrainingError, match="needs evaluation examples of both labels"):
        train(wide_model, JointOptimizer(wide_model, training), dataset(1), dataset(2).take(0), training, NUM_EXAMPLES)
