"""Numbers of each scale in the model: their columns, what stands for a missing one, and what a warm start carries."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.identical_examples import NUM_EXAMPLES, SIZES, batch
from tests.trainer.trained_model import OLD, build, save, start
from trainer.explanations.deep_part import deep_baseline
from trainer.optimizers import JointOptimizer
from trainer.reference_rows import Columns, _block
from trainer.training.unseen_rows import fill_unseen_rows
from trainer.warm_start.files import INDEX_FILE, warm_start_dir
from trainer.warm_start.row_matching import match_blocks
from trainer.wide_deep.model import WideDeep, numeric_columns
from trainer.wide_deep.tables import InputBlock
from trainer.wide_deep.token_dropout import TokenDropout
from transform.config.config import Config
from transform.feature import MISSING_QUANTILE, MISSING_STANDARDIZED, Scale

#: By scale: the value for a missing number, and what the deep part reads in its place.
MISSING: dict[Scale, tuple[float, float]] = {
    "quantile": (MISSING_QUANTILE, 0.5),
    "standard": (MISSING_STANDARDIZED, 0.0),
    "log": (MISSING_STANDARDIZED, 0.0),
}


def scaled(config: Config, scale: Scale) -> Config:
    """The config with another scale of `price`."""
    features = tuple(dataclasses.replace(f, scale=scale) if f.name == "price" else f for f in config.spec.features)
    return dataclasses.replace(config, spec=dataclasses.replace(config.spec, features=features))


def price_columns(model: WideDeep) -> tuple[int, int]:
    """The places of the price's two columns in the deep part's input."""
    columns = [block.feature for block in model.layout for _ in range(block.width)]
    value, is_missing = (column for column, feature in enumerate(columns) if feature == "price")
    return value, is_missing


@pytest.mark.parametrize("scale", MISSING)
def test_a_number_has_its_value_and_a_mark_of_a_missing_one(scale: Scale) -> None:
    missing, middle = MISSING[scale]
    columns = numeric_columns(tf.constant([0.25, missing, -10.0, 10.0, 0.5]), scale)
    assert columns.numpy().tolist() == [[0.25, 0], [middle, 1], [-10, 0], [10, 0], [0.5, 0]]


def test_a_standardized_number_can_be_minus_one(config: Config) -> None:
    model = WideDeep(scaled(config, "standard").spec, config.model, SIZES)
    features: dict[str, Any] = batch(2) | {"price_xf": tf.constant([-1.0, MISSING_STANDARDIZED])}
    columns = model.deep_input(features).numpy()[:, list(price_columns(model))]
    assert columns.tolist() == [[-1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("scale", MISSING)
def test_a_number_that_no_example_lacks_counts_as_the_mean_one(config: Config, scale: Scale) -> None:
    """The prices' mean is 0.4."""
    model = WideDeep(scaled(config, scale).spec, config.model, SIZES)
    assert model.hidden_layers is not None
    kernel = model.hidden_layers.named_variables["dense_0/kernel"]
    before = kernel.numpy()
    features: dict[str, Any] = batch(3) | {"price_xf": tf.constant([0.0, 0.6, 0.6])}
    fill_unseen_rows(model, JointOptimizer(model, config.training), config.training, [features])
    value, is_missing = price_columns(model)
    np.testing.assert_allclose(kernel.numpy()[is_missing], before[value] * (0.4 - MISSING[scale][1]), rtol=1e-5)
    with_missing = features | {"price_xf": tf.constant([0.0, 0.6, MISSING[scale][0]])}
    kernel.assign(before)
    fill_unseen_rows(model, JointOptimizer(model, config.training), config.training, [with_missing])
    np.testing.assert_array_equal(kernel.numpy(), before)


@pytest.mark.parametrize("scale", MISSING)
def test_a_hidden_number_and_the_baseline_of_explanations(config: Config, scale: Scale) -> None:
    missing, middle = MISSING[scale]
    spec = scaled(config, scale).spec
    features = batch()
    dropout = TokenDropout(spec, SIZES, features.keys(), 0.1)
    hidden = dropout(features, tf.constant(NUM_EXAMPLES), lambda name: tf.constant([len(name), 5], tf.int32))
    is_missing = hidden["price_bucket_xf"].numpy() == 4
    assert is_missing.any()
    np.testing.assert_array_equal(hidden["price_xf"].numpy(), np.float32(np.where(is_missing, missing, 1 / 3)))
    model = WideDeep(spec, config.model, SIZES)
    assert deep_baseline(model)[0, list(price_columns(model))].tolist() == [middle, 0]


def test_the_logistic_regression_reads_a_missing_number_of_each_scale_as_0_and_a_mark() -> None:
    for missing, _ in MISSING.values():
        block = _block(Columns(slice(0, 2), "number"), np.array([0.25, missing, -0.5], np.float32), missing)
        assert block.toarray().tolist() == [[0.25, 0], [0, 1], [-0.5, 0]]


def test_the_first_layer_s_rows_of_a_number_whose_scale_changed_are_not_carried() -> None:
    def blocks(scale: Scale) -> list[InputBlock]:
        return [InputBlock("app", 3, "app", None), InputBlock("price", 2, None, None, scale)]

    same = match_blocks(blocks("log"), blocks("log"))
    assert (same.old_rows.tolist(), same.why) == ([0, 1, 2, 3, 4], "")
    for before, now in (("quantile", "log"), ("log", "standard"), ("standard", "quantile")):
        changed = match_blocks(blocks(before), blocks(now))  # type: ignore[arg-type]
        assert (changed.new_rows.tolist(), changed.old_rows.tolist()) == ([0, 1, 2], [0, 1, 2])
        assert changed.why == "inputs whose `scale` changed ['price']"


def test_a_warm_start_carries_a_scale_and_tells_a_change_of_it(config: Config, tmp_path: Path) -> None:
    standardized = scaled(config, "standard")
    for name, of_model in (("plain", config), ("standard", standardized)):
        save(build(of_model, OLD), tmp_path / name)
    index = json.loads((Path(warm_start_dir(str(tmp_path / "plain" / "Format-Serving"))) / INDEX_FILE).read_text())
    assert not any("scale" in block for block in index["layout"])  # as earlier releases write and read it
    again = start(build(standardized, OLD), str(tmp_path / "standard" / "Format-Serving"))
    assert not again.not_carried
    other = start(build(standardized, OLD), str(tmp_path / "plain" / "Format-Serving"))
    assert other.not_carried == ("dense_0/kernel: inputs whose `scale` changed ['price']",)
