"""Values hidden in training: their shares, the rows that are read in their place, and what stays unchanged."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.identical_examples import NUM_EXAMPLES, SIZES, batch
from trainer.optimizers import JointOptimizer
from trainer.training.step import train_step
from trainer.training_size import sized
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.token_dropout import TokenDropout
from transform.config import settings
from transform.config.config import Config
from transform.feature import MISSING_QUANTILE, MISSING_ROW

#: Four standard deviations of a share of 0.1 or less of all examples: 4 · √(0.1 · 0.9 / 20,000).
TOLERANCE = 0.009


def seed_of(name: str) -> tf.Tensor:
    return tf.constant([len(name), sum(name.encode())], tf.int32)


def hide(config: Config, rate: float) -> dict[str, Any]:
    features = batch()
    return TokenDropout(config.spec, SIZES, features.keys(), rate)(features, tf.constant(NUM_EXAMPLES), seed_of)


def values_by_row(ids: tf.SparseTensor) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(NUM_EXAMPLES)]
    for (row, _), value in zip(ids.indices.numpy(), ids.values.numpy(), strict=True):
        rows[row].append(int(value))
    return rows


def test_half_of_the_hidden_tokens_are_missing_and_half_unknown_in_all_buckets_alike(config: Config) -> None:
    countries = hide(config, 0.2)["country_xf"].numpy()
    shares = {int(row): float(np.mean(countries == row)) for row in np.unique(countries)}
    assert shares == pytest.approx({1: 0.8, MISSING_ROW: 0.1, 3: 0.05, 4: 0.05}, abs=TOLERANCE)


def test_a_hidden_number_is_missing_in_both_of_its_inputs(config: Config) -> None:
    hidden = hide(config, 0.1)
    is_missing = hidden["price_bucket_xf"].numpy() == 4  # the row after the quantiles 0 to 3
    assert is_missing.mean() == pytest.approx(0.1, abs=TOLERANCE)
    np.testing.assert_array_equal(hidden["price_xf"].numpy() == MISSING_QUANTILE, is_missing)
    assert set(hidden["price_bucket_xf"].numpy()[~is_missing]) == {1}


def test_a_list_is_empty_or_some_of_its_tokens_are_unknown(config: Config) -> None:
    rows = values_by_row(hide(config, 0.2)["installed_xf"])
    assert np.mean([row == [] for row in rows]) == pytest.approx(0.1, abs=TOLERANCE)
    tokens = np.array([token for row in rows for token in row])
    assert np.mean(tokens == 5) == pytest.approx(0.1, abs=TOLERANCE)
    assert {tuple(row) for row in rows} == {(), (1, 4), (5, 4), (1, 5), (5, 5)}


def test_a_cross_has_no_combination_where_a_feature_of_it_is_hidden(config: Config) -> None:
    hidden = hide(config, 0.2)
    app_is_hidden = hidden["app_xf"].numpy() != 2
    price_is_hidden = hidden["price_bucket_xf"].numpy() == 4
    list_is_empty = np.array([row == [] for row in values_by_row(hidden["installed_xf"])])
    for name, ids, gone in (
        ("app_x_price_xf", [7, 9], app_is_hidden | price_is_hidden),
        ("installed_x_app_xf", [3, 4], app_is_hidden | list_is_empty),
    ):
        assert [row == [] for row in values_by_row(hidden[name])] == gone.tolist()
        assert all(row in ([], ids) for row in values_by_row(hidden[name]))
        assert hidden[name].dense_shape.numpy().tolist() == [NUM_EXAMPLES, 2]


def test_features_are_hidden_independently_and_a_rate_of_zero_hides_none(config: Config) -> None:
    hidden = hide(config, 0.2)
    both = np.mean((hidden["app_xf"].numpy() != 2) & (hidden["country_xf"].numpy() != 1))
    assert both == pytest.approx(0.04, abs=0.006)  # 4 · √(0.04 · 0.96 / 20,000) = 0.0055
    before = batch()
    none_hidden = hide(config, 0.0)
    assert none_hidden.keys() == before.keys()
    np.testing.assert_array_equal(none_hidden["app_xf"], before["app_xf"])


def model_of(config: Config, **changes: Any) -> WideDeep:
    return WideDeep(config.spec, dataclasses.replace(config.model, **changes), SIZES)


def test_rows_of_unknown_and_missing_values_start_from_zero_and_no_others(config: Config) -> None:
    model = model_of(config)
    for name, zero in (("app", [MISSING_ROW, 5]), ("country", [MISSING_ROW, 3, 4])):
        is_zero = ~model.table_weights[f"embedding/{name}"].numpy().any(axis=1)
        assert np.flatnonzero(is_zero).tolist() == zero


def test_training_trains_the_rows_of_values_that_its_examples_do_not_have(config: Config) -> None:
    """All examples are the same positive, so every row that is read is trained towards higher scores."""
    model = model_of(config, token_dropout=0.2)
    optimizers = JointOptimizer(
        model, sized(settings.Training(wide_optimizer=settings.Ftrl(0.1, initial_accumulator=0.1)), 8)
    )
    features = batch(200)
    for _ in range(5):
        train_step(model, optimizers, (features, tf.ones(200), tf.ones(200)))
    for name, rows in (("wide/app", [MISSING_ROW, 5]), ("wide/price", [4]), ("wide/installed", [5])):
        assert (model.table_weights[name].numpy()[rows] > 0).all(), name
    for name, rows in (("embedding/app", [MISSING_ROW, 5]), ("embedding/country", [MISSING_ROW, 3, 4])):
        assert model.table_weights[name].numpy()[rows].any(axis=1).all(), name


def test_nothing_is_hidden_in_scores(config: Config) -> None:
    """A missing number has its own column in the deep part's input, so it differs from the middle quantile."""
    model = model_of(config, token_dropout=0.9)
    features = batch(3) | {"price_xf": tf.constant([0.5, MISSING_QUANTILE, 0.25])}
    np.testing.assert_array_equal(model(features), model(features))
    (price,) = [block for block in model.layout if block.feature == "price"]
    np.testing.assert_array_equal(model.deep_input(features, [price]), [[0.5, 0], [0.5, 1], [0.25, 0]])
