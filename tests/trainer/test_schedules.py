"""Learning rates computed by hand; the deep part's steps follow them, the wide part's do not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.trained_model import OLD, features_of
from trainer.optimizers import DEEP_OPTIMIZERS, JointOptimizer
from trainer.schedules import learning_rate
from trainer.training.step import train_step
from trainer.wide_deep.model import WideDeep
from transform.config import settings
from transform.config.config import Config


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, {0: 0.2, 50: 0.2, 200: 0.2}),
        ("constant", 4, {0: 0.05, 1: 0.1, 3: 0.2, 4: 0.2, 99: 0.2}),
        # Half-way down a cosine from 1 to 0.1: 0.1 + 0.9 / 2; a third of the way: 0.1 + 0.9 · (1 + 1/2) / 2.
        ("cosine", 0, {0: 0.2, 50: 0.2 * 0.55, 100: 0.02, 1000: 0.02}),
        ("cosine", 10, {0: 0.02, 9: 0.2, 10: 0.2, 40: 0.2 * 0.775, 100: 0.02}),
        ("exponential", 0, {0: 0.2, 50: 0.2 * math.sqrt(0.1), 100: 0.02, 1000: 0.02}),
        ("exponential", 10, {4: 0.1, 10: 0.2, 55: 0.2 * math.sqrt(0.1)}),
        ("cosine", 100, {49: 0.1, 99: 0.2, 101: 0.02}),  # the warm-up leaves no steps for the decay
    ],
)
def test_learning_rates_by_hand(schedule: Any, warmup: int, expected: dict[int, float]) -> None:
    deep = settings.DeepOptimizer(learning_rate=0.2, schedule=schedule, warmup_steps=warmup, min_lr_ratio=0.1)
    rates = {step: float(learning_rate(deep, tf.constant(step, tf.int64), 100)) for step in expected}
    assert rates == pytest.approx(expected, rel=1e-5)


def moved(config: Config, deep: settings.DeepOptimizer, *steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """How far each of some steps of a training of 100 moves an embedding table and the apps' wide weights.

    Each begins with the same state; all are taken in one graph.
    """
    training = dataclasses.replace(config.training, deep_optimizer=deep)
    model = WideDeep(config.spec, config.model, {name: len(tokens) for name, tokens in OLD.items()})
    optimizers = JointOptimizer(model, training, num_steps=100)
    assert optimizers.deep is not None
    optimizers.deep.iterations.assign(12345)  # a warm start carries this count over; it is not this training's step
    state = {variable.ref(): variable.numpy() for variable in optimizers.state()}
    batch = features_of(np.random.default_rng(1), OLD, OLD), tf.constant([0, 1] * 4, tf.float32), tf.ones(8)
    take = tf.function(lambda: train_step(model, optimizers, batch))
    found = []
    for step in steps:
        for variable, value in state.items():
            variable.deref().assign(value)
        model.step.assign(step)
        take()
        assert model.step.numpy() == step + 1
        tables = [model.table_weights["embedding/app"], model.table_weights["wide/app"]]
        embedding, wide = (table.numpy() - state[table.ref()] for table in tables)
        found.append((embedding, wide))
    return found


@pytest.mark.parametrize("name", DEEP_OPTIMIZERS)
def test_the_deep_parts_steps_follow_the_schedule_and_the_wide_parts_do_not(config: Config, name: Any) -> None:
    """At the first step the cosine has the whole rate, half-way 0.55 of it."""
    cosine = settings.DeepOptimizer(name=name, learning_rate=0.01, schedule="cosine", min_lr_ratio=0.1)
    (deep, wide), (later_deep, later_wide) = moved(config, cosine, 0, 50)
    assert np.abs(deep).max() > 1e-4
    assert np.abs(wide).max() > 1e-4
    np.testing.assert_allclose(later_deep, 0.55 * deep, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(later_wide, wide)


def test_a_schedule_needs_the_number_of_steps(config: Config) -> None:
    deep = settings.DeepOptimizer(warmup_steps=5)
    model = WideDeep(config.spec, config.model, {name: len(tokens) for name, tokens in OLD.items()})
    with pytest.raises(ValueError, match="`num_steps` must be given where there is a schedule"):
        JointOptimizer(model, dataclasses.replace(config.training, deep_optimizer=deep))
