"""One step's loss computed by hand: with weights, and with a share of the negatives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.memory_data import batches_of, every_epoch, wide_model_of
from trainer.optimizers import JointOptimizer
from trainer.training.data import LabelCounts
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.loop import train
from trainer.training.step import train_step
from trainer.wide_deep.model import WideDeep
from transform.config import settings
from transform.config.config import Config


class Gradients:
    """Replaces an optimizer: records the gradient of the bias."""

    def __init__(self, model: WideDeep) -> None:
        self.variables = [model.bias]

    def apply(self, gradients: list[tf.Tensor]) -> None:
        self.of_bias = float(gradients[0])


def bias_gradient(model: WideDeep, labels: list[float], weights: list[float], fraction: float = 1.0) -> float:
    gradients = Gradients(model)
    apps = np.arange(len(labels))
    (batch,) = batches_of(apps, np.array(labels, np.float32), np.array(weights, np.float32), batch_size=100)
    train_step(model, gradients, batch, fraction)  # type: ignore[arg-type]
    return gradients.of_bias


def test_the_loss_is_the_weighted_mean(config: Config) -> None:
    """Each example's gradient is σ(0) - label, ±1/2."""
    model = wide_model_of(config)
    assert bias_gradient(model, [1, 0, 0], [1, 1, 1]) == pytest.approx(1 / 6)
    assert bias_gradient(model, [1, 0, 0], [4, 1, 0.5]) == pytest.approx((-4 + 1 + 0.5) / 2 / 5.5)
    assert bias_gradient(model, [1, 0, 0], [8, 2, 1]) == pytest.approx((-4 + 1 + 0.5) / 2 / 5.5)


def test_a_batch_without_weight_moves_nothing(config: Config) -> None:
    assert bias_gradient(wide_model_of(config), [1, 0], [0, 0]) == 0.0


def test_with_drawn_negatives_the_loss_is_at_the_logit_less_the_fractions_logarithm(config: Config) -> None:
    """A logit of 0 on all examples is a logit of ln 4, a score of 4/5, on the examples with a quarter of negatives."""
    model = wide_model_of(config)
    assert bias_gradient(model, [1], [1], fraction=0.25) == pytest.approx(4 / 5 - 1)
    assert bias_gradient(model, [0], [1], fraction=0.25) == pytest.approx(4 / 5)


def test_drawn_negatives_leave_the_scores_calibrated_on_all(config: Config) -> None:
    """All examples are alike and one negative in ten is drawn: the model learns the base rate of all examples."""
    num_positives, num_negatives = 100, 900
    labels = np.array([1] * num_positives + [0] * num_negatives, np.float32)
    same = np.zeros(len(labels), np.int64)
    everything = batches_of(same, labels, np.ones_like(labels), 1000)
    kept = np.array([1] * num_positives + [0] * (num_negatives // 10), np.float32)
    drawn = batches_of(same[: len(kept)], kept, np.ones_like(kept), 1000)
    training = settings.Training(
        batch_size=512,
        num_epochs=1,
        negative_sampling_rate=0.1,
        wide_optimizer=settings.Ftrl(1.0, initial_accumulator=0.1),
    )
    model = wide_model_of(config)
    result = train(
        model,
        JointOptimizer(model, training),
        every_epoch(drawn.repeat(300)),
        everything,
        training,
        LabelCounts(num_negatives, num_positives),
    )
    (features, _, _), *_ = everything
    scores = tf.sigmoid(model.logits(features)).numpy()
    np.testing.assert_allclose(scores, 0.1, rtol=1e-3)
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    assert evaluate(logits_function(model), everything).logloss == pytest.approx(entropy, rel=1e-5)
    assert (result.num_examples, result.num_steps, result.epochs[0].num_examples) == (1000, 300, 300 * 190)
