"""Integrated gradients compared with integrals worked out by hand, and their gaps on random networks."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.explanations.integrated_gradients import NUM_STEPS, mean_gradients
from trainer.wide_deep.hidden_layers import HiddenLayers
from transform.config import settings


def test_one_kink_is_found_wherever_it_is() -> None:
    """F(x, k) = 3 · relu(x - k) + k, with x from 0 to 1: the derivative by x is 3 behind k, its mean 3 · (1 - k)."""
    kinks = np.linspace(0.01, 0.99, 40, dtype=np.float32)

    def function(x: tf.Tensor) -> tf.Tensor:
        return 3 * tf.nn.relu(x[:, 0] - x[:, 1]) + x[:, 1]

    point = tf.TensorSpec([1, 2], tf.float32)
    means = tf.function(
        lambda start, end: mean_gradients(function, start, end), input_signature=[point, point], autograph=False
    )
    found = [means(tf.constant([[0.0, kink]]), tf.constant([[1.0, kink]]))[0, 0].numpy() for kink in kinks]
    np.testing.assert_allclose(found, 3 * (1 - kinks), atol=1e-3)


def test_a_linear_function_has_its_weights_as_gradients() -> None:
    weights = tf.constant([0.5, -2.0, 0.0])
    ends = tf.constant([[1.0, 2.0, 3.0]] * 20)
    means = tf.function(
        lambda x: mean_gradients(lambda x: tf.linalg.matvec(x, weights), tf.zeros([1, 3]), x), autograph=False
    )(ends)
    np.testing.assert_allclose(means, [weights] * 20, atol=1e-6)


def test_no_row_has_no_gradient() -> None:
    assert mean_gradients(lambda x: x[:, 0], tf.zeros([1, 3]), tf.zeros([0, 3])).shape == (0, 3)


def random_layers(**changes: Any) -> HiddenLayers:
    """Layers whose kernels and biases are drawn, so that the paths have many kinks."""
    model = settings.Model(**dict[str, Any](hidden_units=(64, 32), dropout=0.0) | changes)
    layers = HiddenLayers(40, model, lambda name: zlib.crc32(name.encode()) % 2**31, lambda _: tf.zeros([2], tf.int32))
    draw = np.random.default_rng(1)
    for name, variable in layers.named_variables.items():
        scale = 0.5 if name.endswith("bias") else (2 / variable.shape[0]) ** 0.5
        variable.assign(draw.normal(scale=scale, size=variable.shape))
    return layers


def test_attributions_add_up_within_one_percent_where_even_steps_do_not() -> None:
    layers, rows = random_layers(), np.random.default_rng(2).normal(size=(100, 40)).astype(np.float32)
    start, ends = tf.zeros([1, 40]), tf.constant(rows)

    def function(x: tf.Tensor) -> tf.Tensor:
        return layers(x, training=False)

    change = (function(ends) - function(start)).numpy()
    allowed = np.maximum(0.01, 0.01 * np.abs(change))
    found = tf.function(lambda x: mean_gradients(function, start, x), autograph=False)(ends)
    gaps = np.abs(change - (found.numpy() * rows).sum(axis=1))
    assert np.all(gaps <= allowed), (gaps / allowed).max()

    even = np.zeros(100)
    for t in (np.arange(NUM_STEPS) + 0.5) / NUM_STEPS:
        with tf.GradientTape() as tape:
            point = tf.constant(np.float32(t) * rows)
            tape.watch(point)
            values = function(point)
        even += (tape.gradient(values, point).numpy() * rows).sum(axis=1) / NUM_STEPS
    assert np.mean(np.abs(change - even) > allowed) > 0.05
