"""The correction of the bias after a training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.memory_data import batches_of, wide_model_of
from trainer.optimizers import JointOptimizer
from trainer.training.bias import correct_bias
from trainer.wide_deep.model import WideDeep
from transform.config.config import Config


def model_of(config: Config) -> WideDeep:
    """A model with a bias of 1/2 that gives app 1 a logit of 0, and app 2 one of ln 3."""
    model = wide_model_of(config)
    model.bias.assign(0.5)
    weights = model.table_weights["wide/app"].numpy()
    weights.reshape(-1)[[1, 2]] = -0.5, math.log(3) - 0.5
    model.table_weights["wide/app"].assign(weights)
    return model


def test_the_mean_score_becomes_the_positive_share(config: Config) -> None:
    """At δ = -ln 3 the scores are 1/4 and 1/2: as much as each app's weight has of positives, 1/4 and 1/2."""
    model = model_of(config)
    optimizers = JointOptimizer(model, config.training)
    apps, labels = np.array([1, 1, 2, 2, 2]), np.array([1, 0, 1, 0, 1], np.float32)
    examples = batches_of(apps, labels, np.array([0.25, 0.75, 0.5, 0.5, 0], np.float32), 2)
    assert correct_bias(model, optimizers, config.training, examples) == pytest.approx(-math.log(3), abs=1e-3)
    assert model.bias.numpy() == pytest.approx(0.5 - math.log(3), abs=1e-3)
    corrected = model.bias.numpy()
    optimizers.apply([tf.zeros_like(variable) for variable in optimizers.variables])
    assert model.bias.numpy() == pytest.approx(corrected, abs=1e-6), "FTRL's state holds it there"


def test_a_second_correction_changes_nothing(config: Config) -> None:
    model = model_of(config)
    optimizers = JointOptimizer(model, config.training)
    rng = np.random.default_rng(1)
    apps, labels = rng.integers(1, 3, 1000), (rng.random(1000) < 0.01).astype(np.float32)
    examples = batches_of(apps, labels, np.ones(1000, np.float32), 300)
    assert correct_bias(model, optimizers, config.training, examples) < -3
    logits = np.concatenate([model.logits(features).numpy() for features, _, _ in examples])
    assert (1 / (1 + np.exp(-logits))).mean() == pytest.approx(labels.mean(), rel=1e-3)
    assert correct_bias(model, optimizers, config.training, examples) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], []])
def test_without_examples_of_both_labels_the_bias_stays(config: Config, labels: list[int]) -> None:
    model = model_of(config)
    apps, of = np.ones(len(labels), np.int64), np.array(labels, np.float32)
    examples = batches_of(apps, of, np.ones(len(labels), np.float32), 2)
    assert correct_bias(model, JointOptimizer(model, config.training), config.training, examples) == 0
    assert model.bias.numpy() == 0.5
