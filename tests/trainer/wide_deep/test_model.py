"""The forward pass compared with plain NumPy, on the same weights."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from trainer.wide_deep.model import WideDeep
from transform.config.config import Config
from transform.feature import MISSING_QUANTILE

SIZES = {"app": 3, "country": 2, "installed_x_app": 5}

# tf.Transform's output for three examples; the second has no installed app, no price and no cross.
APPS = [0, 3, 2]
INSTALLED = [[1, 2], [], [0]]
PRICES, PRICE_BUCKETS = [0.0, MISSING_QUANTILE, 1 / 3], [0, 4, 1]
COUNTRIES = [1, 3, 0]
INSTALLED_X_APP = [[4, 4], [], [2]]
APP_X_PRICE = [[7], [49], [7]]


def sparse(rows: list[list[int]]) -> tf.SparseTensor:
    indices = [[i, j] for i, row in enumerate(rows) for j in range(len(row))]
    values = [value for row in rows for value in row]
    return tf.SparseTensor(np.reshape(np.array(indices, np.int64), (-1, 2)), np.array(values, np.int64), [len(rows), 2])


def batch() -> dict[str, Any]:
    return {
        "app_xf": tf.constant(APPS, tf.int64),
        "installed_xf": sparse(INSTALLED),
        "price_xf": tf.constant(PRICES, tf.float32),
        "price_bucket_xf": tf.constant(PRICE_BUCKETS, tf.int64),
        "country_xf": tf.constant(COUNTRIES, tf.int64),
        "installed_x_app_xf": sparse(INSTALLED_X_APP),
        "app_x_price_xf": sparse(APP_X_PRICE),
    }


def model_of(config: Config, **changes: Any) -> WideDeep:
    """A model with arbitrary, fixed weights."""
    model = WideDeep(config.spec, dataclasses.replace(config.model, **changes), SIZES)
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    return model


def test_the_model_tracks_the_weights_of_its_hidden_layers(config: Config) -> None:
    model = model_of(config)
    tracked = {variable.ref() for variable in model.weights}
    assert {variable.ref() for variable in model.dense_variables.values()} <= tracked
    assert all(np.any(variable.numpy() != 0) for name, variable in model.dense_variables.items() if "bias" in name)


def numpy_wide(model: WideDeep) -> np.ndarray:
    w = {name: variable.numpy() for name, variable in model.table_weights.items()}
    return np.array(
        [
            w["wide/app"][APPS[i]]
            + sum(w["wide/installed"][j] for j in INSTALLED[i])
            + w["wide/price"][PRICE_BUCKETS[i]]
            + sum(w["wide/installed_x_app"][j] for j in INSTALLED_X_APP[i])
            + sum(w["wide/app_x_price"][j] for j in APP_X_PRICE[i])
            for i in range(3)
        ]
    )


def numpy_deep(model: WideDeep, combine: Any) -> np.ndarray:
    apps, countries = (model.table_weights[f"embedding/{n}"].numpy() for n in ("app", "country"))
    v, logits = model.dense_variables, []
    for i in range(3):
        lists = [apps[j] for j in INSTALLED[i]]
        listed = combine(lists) if lists else np.zeros(4)
        price = [0.5, 1] if PRICES[i] == MISSING_QUANTILE else [PRICES[i], 0]
        x = np.concatenate([apps[APPS[i]], listed, price, countries[COUNTRIES[i]]])
        for layer in range(len(model.settings.hidden_units)):
            x = np.maximum(x @ v[f"dense_{layer}/kernel"].numpy() + v[f"dense_{layer}/bias"].numpy(), 0)
        logits.append((x @ v[f"dense_{len(model.settings.hidden_units)}/kernel"].numpy())[0])
    return np.array(logits)


@pytest.mark.parametrize(
    ("combiner", "combine"),
    [
        ("mean", lambda rows: np.mean(rows, axis=0)),
        ("sum", lambda rows: np.sum(rows, axis=0)),
        ("sqrtn", lambda rows: np.sum(rows, axis=0) / np.sqrt(len(rows))),
    ],
)
def test_forward_pass_equals_numpy(config: Config, combiner: str, combine: Any) -> None:
    model = model_of(config, list_combiner=combiner)
    wide, deep = numpy_wide(model), numpy_deep(model, combine)

    np.testing.assert_allclose(model.wide_logits(batch()), wide, rtol=1e-5)
    np.testing.assert_allclose(model.deep_logits(batch()), deep, rtol=1e-4)
    np.testing.assert_allclose(model(batch()), wide + deep + model.bias.numpy(), rtol=1e-4)


def test_parts_leave_the_other_part_out(config: Config) -> None:
    wide, deep = model_of(config, parts="wide"), model_of(config, parts="deep")

    np.testing.assert_allclose(wide(batch()), numpy_wide(wide) + wide.bias.numpy(), rtol=1e-5)
    assert wide.deep_variables == []
    assert set(wide.feature_names) == {
        "app_xf",
        "installed_xf",
        "price_bucket_xf",
        "installed_x_app_xf",
        "app_x_price_xf",
    }
    expected = numpy_deep(deep, lambda rows: np.mean(rows, axis=0)) + deep.bias.numpy()
    np.testing.assert_allclose(deep(batch()), expected, rtol=1e-4)
    assert deep.wide_variables == []
    assert set(deep.feature_names) == {"app_xf", "installed_xf", "price_xf", "country_xf"}


def test_tables_have_a_row_per_token_bucket_and_quantile(config: Config) -> None:
    model = model_of(config)
    assert {name: tuple(variable.shape) for name, variable in model.table_weights.items()} == {
        "wide/app": (4,),
        "wide/installed": (4,),
        "wide/price": (5,),
        "wide/installed_x_app": (5,),
        "wide/app_x_price": (50,),
        "embedding/app": (4, 4),
        "embedding/country": (4, 4),
    }


def test_features_that_share_a_vocabulary_are_gathered_at_once(config: Config) -> None:
    model = model_of(config, parts="deep")
    graph = tf.function(model.logits).get_concrete_function(batch()).graph
    table = model.table_weights["embedding/app"]
    (captured,) = [inner for outer, inner in graph.captures if outer is table.handle]
    assert [op.type for op in captured.consumers()] == ["ResourceGather"]


def test_weights_start_from_the_seed(config: Config) -> None:
    first, again, other = (WideDeep(config.spec, config.model, SIZES, seed) for seed in (5, 5, 6))
    for a, b in zip(first.trainable_variables, again.trainable_variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    name = "embedding/app"
    assert np.abs(first.table_weights[name].numpy() - other.table_weights[name].numpy()).max() > 0.01
    assert all(not variable.numpy().any() for variable in first.wide_variables)


def test_embeddings_are_those_of_the_initializer_bit_by_bit(config: Config) -> None:
    model = WideDeep(config.spec, config.model, SIZES | {"app": 1000}, seed=5)
    seed = zlib.crc32(b"5/embedding/app") % 2**31
    expected = tf_keras.initializers.RandomNormal(stddev=4**-0.5, seed=seed)((1001, 4)).numpy()
    expected[[0, 1000]] = 0  # a missing value, and the bucket of unknown ones
    np.testing.assert_array_equal(model.table_weights["embedding/app"].numpy(), expected)


def test_embeddings_start_with_deviation_of_one_over_root_dim(config: Config) -> None:
    model = WideDeep(config.spec, config.model, SIZES | {"app": 20_000})
    assert np.std(model.table_weights["embedding/app"].numpy()) == pytest.approx(4**-0.5, rel=0.02)


def test_dropout_acts_in_training_only(config: Config) -> None:
    model = model_of(config, parts="deep", dropout=0.5)
    np.testing.assert_array_equal(model(batch()), model(batch()))
    assert np.abs(model.training_logits(batch())[0] - model(batch())).max() > 1e-3
