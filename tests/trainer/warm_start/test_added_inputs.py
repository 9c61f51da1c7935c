"""Inputs, embedding columns and units that the previous model lacks: scores stay, and learning goes on."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import COUNTS, OLD, Trained, build, features_of, save, start
from trainer.training.data import Batch
from transform.config.config import Config

#: What the model before lacks.
ADDED = ("country", "price", "counts", "embedding columns", "units", "all")
BATCH_SIZE = 64
ADAM = {"name": "adam", "learning_rate": 0.01}
ADAGRAD = {"name": "adagrad"}


def without(added: str, deep: dict[str, Any] = ADAM, **model: Any) -> Config:
    """A config without what is added; without "", all is there."""
    lacks = set(ADDED) if added == "all" else {added}
    features = json.loads(make_config().to_json())["spec"]["features"]
    sizes = {
        "embedding_dim": 4 if "embedding columns" in lacks else 6,
        "hidden_units": [16, 8] if "units" in lacks else [20, 11],
    }
    return make_config(
        features=[feature for feature in features if feature["name"] not in lacks],
        crosses=[{"features": ["installed", "app"], "min_count": 2}],
        count_encodings=[] if lacks & {"counts", "country"} else COUNTS,
        model=sizes | {"dropout": 0.0, "token_dropout": 0.0} | model,
        training={"deep_optimizer": deep, "batch_size": BATCH_SIZE},
    )


def learnable(rng: np.random.Generator, size: int = BATCH_SIZE) -> Batch:
    """A batch whose labels follow, with noise, from the app, the price, the country and a count."""
    parts = [features_of(rng, OLD, OLD) for _ in range(size // 8)]
    features = {
        name: tf.sparse.concat(0, values) if isinstance(values[0], tf.SparseTensor) else tf.concat(values, 0)
        for name, *values in zip(parts[0], *(part.values() for part in parts), strict=True)
    }
    features["price_bucket_xf"] = tf.cast(4 * features["price_xf"], tf.int64)
    logits = 2 * features["price_xf"].numpy() - 1 + features["count_of_app_x_country_share_xf"].numpy() / 16 - 1
    for name, of_ids in {"app_xf": [2, -1, 1, -3, 0], "country_xf": [-1, 1, 0, 0]}.items():
        logits += np.array(of_ids)[features[name].numpy()]
    labels = rng.random(size) < 1 / (1 + np.exp(-logits))
    return features, tf.constant(labels, tf.float32), tf.ones(size)


@functools.cache  # all cases learn from the same batches
def batches(steps: int, seed: int) -> list[Batch]:
    rng = np.random.default_rng(seed)
    return [learnable(rng) for _ in range(steps)]


def learn(trained: Trained, steps: int, seed: int) -> None:
    for batch in batches(steps, seed):
        trained.step(*batch)


@functools.cache
def examples() -> Batch:
    return learnable(np.random.default_rng(99), 1600)


def log_loss(trained: Trained) -> float:
    features, labels, _ = examples()
    return float(tf.nn.sigmoid_cross_entropy_with_logits(labels, trained.model(features)).numpy().mean())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("added", ADDED)
def test_scores_are_kept(added: str, batch_norm: bool, tmp_path: Path) -> None:
    old = build(without(added, batch_norm=batch_norm), OLD)
    old.train(5, seed=1)
    new = build(without("", batch_norm=batch_norm), OLD, seed=2)
    start(new, save(old, tmp_path))
    assert old.logits(5, OLD).std() > 0.02
    np.testing.assert_allclose(new.logits(5, OLD), old.logits(5, OLD), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("deep", [ADAM, ADAGRAD], ids=["adam", "adagrad"])
@pytest.mark.parametrize("added", ADDED)
def test_learning_goes_on_as_with_unchanged_inputs(added: str, deep: dict[str, Any], tmp_path: Path) -> None:
    """What one batch of 64 says of new weights is noisy; random weights of new inputs or units cost up to 0.1 here."""
    before = without(added, deep)
    old = build(before, OLD)
    learn(old, 100, seed=1)
    base = save(old, tmp_path)
    unchanged, changed = build(before, OLD, seed=2), build(without("", deep), OLD, seed=2)
    losses = []
    for model in (unchanged, changed):
        start(model, base)
        learn(model, 1, seed=3)
        after_1 = log_loss(model)
        learn(model, 49, seed=4)
        losses.append((after_1, log_loss(model)))
    (unchanged_1, unchanged_50), (changed_1, changed_50) = losses
    assert changed_1 < unchanged_1 + 0.003
    assert changed_50 < unchanged_50 + 0.001


def test_columns_that_start_at_zero_are_read_with_random_weights(tmp_path: Path) -> None:
    """Embeddings of 0 that are read with weights of 0 would have gradients of 0, and stay what they are.

    The lists are averaged now, so that their input is a new one: also of the columns that their embedding has anew.
    """
    old = build(without("embedding columns", list_combiner="sum"), OLD)
    new, cold = (build(without("", list_combiner="mean"), OLD, seed=2) for _ in range(2))
    start(new, save(old, tmp_path))
    assert not new.model.table_weights["embedding/app"].numpy()[:, 4:].any()
    kernel, initial = (t.model.dense_variables["dense_0/kernel"].numpy() for t in (new, cold))
    np.testing.assert_array_equal(kernel[4:6], initial[4:6])  # app, as before
    np.testing.assert_array_equal(kernel[6:10], 0.0)  # installed
    np.testing.assert_array_equal(kernel[10:12], initial[10:12])


def test_new_rows_start_with_the_mean_moments(tmp_path: Path) -> None:
    """Adam's first step of a new input is then not 3.16 times the learning rate."""
    old = build(without("country"), OLD)
    old.train(60, seed=1)
    old.optimizers.deep.iterations.assign(10_000)  # type: ignore[union-attr]
    new = build(without(""), OLD | {"app": [b"a", b"new", b"b", b"c", b"d\xff\x00"]}, seed=2)
    start(new, save(old, tmp_path))
    for slot in ("m", "v"):
        app, country = (slot_of(new, f"embedding/{name}", slot) for name in ("app", "country"))
        old_app, kernel = slot_of(old, "embedding/app", slot), slot_of(old, "dense_0/kernel", slot)
        np.testing.assert_allclose(app[1], old_app.mean(axis=0), rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(country, np.full((4, 6), old_app.mean()), rtol=1e-4, atol=1e-9)
        found = slot_of(new, "dense_0/kernel", slot)
        np.testing.assert_array_equal(found[:14], kernel)  # app, installed and price
        expected = np.tile(kernel.mean(axis=0), (6 + 12, 1))  # the country and the two numbers of a count
        np.testing.assert_allclose(found[14:], expected, rtol=1e-4, atol=1e-9)
    new.train(1, seed=2, tokens=OLD)
    moved = np.abs(new.model.dense_variables["dense_0/kernel"].numpy()[14:])  # from 0
    assert 0 < moved.mean() < 0.01  # the learning rate; with moments of 0, each would move 0.0316


def test_a_new_table_starts_with_the_squared_gradients_of_the_others(tmp_path: Path) -> None:
    """A table has what its rows have above the initial sum; a new table of 33 rows gets the median of that of four."""
    old = build(without("counts"), OLD)
    old.train(60, seed=1)
    new = build(without(""), OLD | {"app": [*OLD["app"], b"new"]}, seed=2)

    def sums(trained: Trained, name: str) -> np.ndarray:
        return np.asarray(trained.optimizers.slots(trained.model.table_weights[f"wide/{name}"])["accumulator"])

    initial = sums(new, "app")[0]
    start(new, save(old, tmp_path))
    of_tables = sorted((sums(old, name) - initial).sum() for name in ("app", "installed", "price", "installed_x_app"))
    expected = initial + (of_tables[1] + of_tables[2]) / 2 / 33
    for part in ("share", "rows"):
        np.testing.assert_allclose(sums(new, f"count_of_app_x_country_{part}"), np.full(33, expected), rtol=1e-3)
    assert expected > 1.1 * initial
    assert sums(new, "app")[4] == initial  # a new row of a carried table starts as before


def slot_of(trained: Trained, name: str, slot: str) -> np.ndarray:
    variable = (trained.model.table_weights | trained.model.dense_variables)[name]
    return np.asarray(trained.optimizers.slots(variable)[slot])
