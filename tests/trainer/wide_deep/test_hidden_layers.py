"""`HiddenLayers` compared with plain NumPy."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.wide_deep.hidden_layers import HiddenLayers
from transform.config import settings

INPUTS = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)


def layers_of(**changes: Any) -> HiddenLayers:
    def seed_of(name: str) -> int:
        return zlib.crc32(name.encode()) % 2**31

    model = settings.Model(**dict[str, Any](hidden_units=(5, 4), dropout=0.0) | changes)
    return HiddenLayers(3, model, seed_of, lambda name: tf.constant([seed_of(name), 0]))


def logits(layers: HiddenLayers, *, training: bool) -> np.ndarray:
    found: np.ndarray = layers(tf.constant(INPUTS), training=training).numpy()
    return found


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh), ("elu", None)]
)
def test_each_layer_is_the_activation_of_an_affine_map(activation: str, function: Any) -> None:
    function = function or (lambda x: np.where(x > 0, x, np.exp(x) - 1))
    layers = layers_of(activation=activation)
    v = {name: variable.numpy() for name, variable in layers.named_variables.items()}
    hidden = function(INPUTS @ v["dense_0/kernel"] + v["dense_0/bias"])
    hidden = function(hidden @ v["dense_1/kernel"] + v["dense_1/bias"])
    np.testing.assert_allclose(
        logits(layers, training=False), (hidden @ v["dense_2/kernel"])[:, 0], rtol=1e-4, atol=1e-5
    )


def test_batch_norm_takes_the_batch_in_training_and_the_moving_averages_else() -> None:
    layers = layers_of(batch_norm=True, hidden_units=(5,))
    v = {name: variable.numpy() for name, variable in layers.named_variables.items()}
    before = INPUTS @ v["dense_0/kernel"] + v["dense_0/bias"]

    def normalized(mean: Any, variance: Any) -> np.ndarray:
        hidden = np.maximum((before - mean) / np.sqrt(variance + 1e-3), 0)
        found: np.ndarray = (hidden @ v["dense_1/kernel"])[:, 0]
        return found

    # The moving mean starts at 0, the variance at 1.
    np.testing.assert_allclose(logits(layers, training=False), normalized(0, 1), rtol=1e-4, atol=1e-5)
    of_batch = normalized(before.mean(axis=0), before.var(axis=0))
    np.testing.assert_allclose(logits(layers, training=True), of_batch, rtol=1e-4, atol=1e-4)
    # A training step moves the averages by 1 - 0.99.
    np.testing.assert_allclose(
        layers.named_variables["norm_0/moving_mean"], 0.01 * before.mean(axis=0), rtol=1e-3, atol=1e-6
    )


def test_dropout_drops_in_training_only() -> None:
    layers = layers_of(dropout=0.5)
    np.testing.assert_array_equal(logits(layers, training=False), logits(layers, training=False))
    assert np.abs(logits(layers, training=True) - logits(layers, training=False)).max() > 1e-3


def test_bfloat16_rounds_the_factors_of_trainings_products_alone() -> None:
    def rounded(x: np.ndarray) -> np.ndarray:
        found: np.ndarray = tf.cast(tf.cast(x, tf.bfloat16), tf.float32).numpy()
        return found

    layers = layers_of(compute_dtype="bfloat16", hidden_units=(5,))
    v = {name: variable.numpy() for name, variable in layers.named_variables.items()}
    product = rounded(rounded(INPUTS) @ rounded(v["dense_0/kernel"]))
    expected = np.maximum(product + v["dense_0/bias"], 0) @ v["dense_1/kernel"]
    trained, served = logits(layers, training=True), logits(layers, training=False)

    np.testing.assert_allclose(trained, expected[:, 0], atol=0.02)  # a product's sum may round the other way
    np.testing.assert_allclose(served, logits(layers_of(hidden_units=(5,)), training=False), atol=1e-6)
    assert np.abs(trained - served).max() > 1e-4
