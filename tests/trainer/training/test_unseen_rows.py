"""Rows that no example has become the mean of the other rows, and FTRL's state holds them there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.identical_examples import SIZES, batch
from trainer.optimizers import JointOptimizer, ftrl_linear
from trainer.training.unseen_rows import fill_unseen_rows
from trainer.warm_start import array_files
from trainer.wide_deep.model import WideDeep
from transform.config.config import Config
from transform.feature import MISSING_QUANTILE


def test_rows_that_no_example_has_are_the_mean_of_the_others_weighted_by_their_examples(config: Config) -> None:
    """App 2 is in all three examples, with installed apps 1 and 4; one country is rare, in the first of two buckets.

    The mean of the prices' quantiles is 0.4; all prices are in bucket 1 of 4.
    """
    training = config.training
    model = WideDeep(config.spec, config.model, SIZES)
    optimizers = JointOptimizer(model, training)
    rng = np.random.default_rng(3)
    for table in model.table_weights.values():
        table.assign(rng.normal(size=table.shape).astype(np.float32))
    before = {name: table.numpy() for name, table in model.table_weights.items()}
    assert model.hidden_layers is not None
    kernel = model.hidden_layers.named_variables["dense_0/kernel"]
    kernel_before = kernel.numpy()
    features: dict[str, Any] = batch(3) | {
        "country_xf": tf.constant([1, 1, 3], tf.int64),
        "price_xf": tf.constant([0.0, 0.6, 0.6]),
    }
    fill_unseen_rows(model, optimizers, training, [features])
    after = {name: table.numpy() for name, table in model.table_weights.items()}

    # The app's embeddings are read by `app` and `installed`: row 2 three times, rows 1 and 4 three times each.
    app, country = before["embedding/app"], before["embedding/country"]
    expected = {
        "embedding/app": {0: (app[1] + app[2] + app[4]) / 3, 5: (app[1] + app[2] + app[4]) / 3},
        "embedding/country": dict.fromkeys((0, 4), (2 * country[1] + country[3]) / 3),
        "wide/app": dict.fromkeys((0, 5), before["wide/app"][2]),
        "wide/price": {4: before["wide/price"][1]},
        "wide/installed": {row: before["wide/installed"][[1, 4]].mean() for row in (0, 5)},
    }
    for name, values in after.items():
        for row, value in enumerate(values):
            wanted = expected.get(name, {}).get(row, before[name][row])
            np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=f"{name} {row}")
    columns = [block.feature for block in model.layout for _ in range(block.width)]
    quantile, is_missing = (column for column, feature in enumerate(columns) if feature == "price")
    expected_kernel = kernel_before.copy()
    expected_kernel[is_missing] = kernel_before[quantile] * (0.4 - 0.5)
    np.testing.assert_allclose(kernel.numpy(), expected_kernel, rtol=1e-5)
    slots = optimizers.slots(model.table_weights["wide/app"])
    held = ftrl_linear(
        after["wide/app"], slots["accumulator"].numpy(), training.wide_optimizer, np.zeros(6, np.float32)
    )
    np.testing.assert_allclose(slots["linear"].numpy()[[0, 5]], held[[0, 5]], rtol=1e-6)


def test_of_a_number_that_some_examples_lack_training_made_the_weights(config: Config) -> None:
    model = WideDeep(config.spec, config.model, SIZES)
    assert model.hidden_layers is not None
    kernel = model.hidden_layers.named_variables["dense_0/kernel"]
    before = kernel.numpy()
    prices = tf.constant([0.0, 0.6, MISSING_QUANTILE])
    buckets = tf.constant([0, 1, 4], tf.int64)
    features: dict[str, Any] = batch(3) | {"price_xf": prices, "price_bucket_xf": buckets}
    wide = model.table_weights["wide/price"].numpy()
    fill_unseen_rows(model, JointOptimizer(model, config.training), config.training, [features])
    np.testing.assert_array_equal(kernel.numpy(), before)
    np.testing.assert_array_equal(model.table_weights["wide/price"].numpy(), wide)


@pytest.mark.parametrize("block_bytes", [1, 1 << 26])
def test_the_mean_is_that_of_all_rows(config: Config, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """Rows that no example has are left out of the sum, and the others are added in blocks, here one by one."""
    monkeypatch.setattr(array_files, "_BLOCK_BYTES", block_bytes)
    model = WideDeep(config.spec, config.model, SIZES | {"app": 500})
    table = model.table_weights["embedding/app"]
    rng = np.random.default_rng(4)
    table.assign(rng.normal(size=table.shape).astype(np.float32))
    counts = np.bincount([1, 4, *np.repeat(rng.integers(1, 500, 40), 3)], minlength=501)
    installed = tf.sparse.from_dense(np.repeat(np.arange(501), counts)[None])  # row 0 has no example
    features = batch(3) | {"app_xf": tf.zeros([0], tf.int64), "installed_xf": installed}
    expected = np.average(table.numpy(), axis=0, weights=counts).astype(np.float32)
    fill_unseen_rows(model, JointOptimizer(model, config.training), config.training, [features])
    np.testing.assert_array_equal(table.numpy()[[0, 500]], [expected, expected])
