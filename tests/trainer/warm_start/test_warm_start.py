"""A model that is warm-started from the previous one: rows matched by token, with their optimizer state."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_deployment import OPTIMIZERS, make_config
from tests.trainer.trained_model import NEW, OLD, Trained, build, save, start
from trainer.optimizers import DEEP_OPTIMIZERS
from trainer.warm_start.report import WarmStartReport
from trainer.warm_start.warm_start import warm_start
from transform.config.config import Config


def with_features(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], **sections: Any) -> Config:
    """The small deployment's config with its list of features changed."""
    config = make_config()
    raw = json.loads(config.to_json())["spec"]["features"]
    return make_config(features=change(raw), **sections)


def test_surviving_tokens_score_as_before(config: Config, old: Trained, base: str) -> None:
    new = build(config, NEW, seed=2)
    cold = new.logits(5)
    report = start(new, base)

    np.testing.assert_allclose(new.logits(5), old.logits(5), atol=1e-6)
    assert np.abs(cold - old.logits(5)).max() > 0.01
    assert report.warm_started_from == base
    assert report.not_carried == ()
    counts = {name: (t.kept, t.new, t.dropped) for name, t in report.tables.items()}
    assert counts == {
        "wide/app": (4, 2, 1),
        "wide/installed": (4, 2, 1),
        "wide/price": (5, 0, 0),
        "wide/installed_x_app": (2, 1, 1),
        "wide/app_x_price": (50, 0, 0),
        "embedding/app": (4, 2, 1),
        "embedding/country": (3, 1, 1),
    }
    kept = old.model.table_weights["embedding/app"].numpy()[[0, 2, 3, 4]]
    assert report.tables["embedding/app"].carried_norm == pytest.approx(np.sqrt((kept**2).sum()), rel=1e-6)


def test_new_tokens_start_cold(config: Config, base: str) -> None:
    new, cold = build(config, NEW, seed=2), build(config, NEW, seed=2)
    start(new, base)
    for name, rows in {"wide/app": [0, 3], "embedding/app": [0, 3], "wide/installed_x_app": [1]}.items():
        warm_table, cold_table = new.model.table_weights[name], cold.model.table_weights[name]
        for warm, initial in (
            (warm_table, cold_table),
            *zip(new.optimizers.slots(warm_table).values(), cold.optimizers.slots(cold_table).values(), strict=True),
        ):
            np.testing.assert_array_equal(warm.numpy()[rows], initial.numpy()[rows])


@pytest.mark.parametrize("deep", DEEP_OPTIMIZERS)
def test_the_next_steps_are_those_of_an_uninterrupted_training(deep: Any, tmp_path: Path) -> None:
    config = make_config(training={"deep_optimizer": {"name": deep}, "wide_optimizer": {"l1": 0.01, "beta": 1.0}})
    old = build(config, OLD)
    old.train(20, seed=1)
    new = build(config, OLD, seed=9)
    start(new, save(old, tmp_path))
    old.train(5, seed=2)
    new.train(5, seed=2)
    for a, b in zip(old.optimizers.variables, new.optimizers.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)
    assert int(new.optimizers.deep.iterations) == 25  # type: ignore[union-attr]


def test_the_first_step_shrinks_nothing_it_does_not_read(config: Config, tmp_path: Path) -> None:
    """With fresh FTRL slots, weights of 2 would shrink to 0.06 or less."""
    old = build(config, OLD)
    for variable in old.model.wide_variables:
        variable.assign(tf.fill(variable.shape, 2.0))
        linear = -2.0 * np.sqrt(0.1) / config.training.wide_optimizer.learning_rate
        old.optimizers.slots(variable)["linear"].assign(tf.fill(variable.shape, np.float32(linear)))
    new = build(config, OLD)
    start(new, save(old, tmp_path))
    new.train(1, seed=1)
    untouched = 0
    for variable in new.model.wide_variables:
        unread = new.optimizers.slots(variable)["accumulator"].numpy() == np.float32(0.1)
        np.testing.assert_array_equal(variable.numpy()[unread], 2.0)
        assert np.abs(variable.numpy() - 2.0).max() < 0.2, variable.name
        untouched += unread.sum()
    assert untouched > 20


def test_other_ftrl_settings_leave_the_weights_where_they_are(old: Trained, base: str) -> None:
    other = {"learning_rate": 0.2, "l1": 0.1, "l2": 0.1, "beta": 2.0}
    config = make_config(training={**OPTIMIZERS, "batch_size": 32, "wide_optimizer": other})
    new = build(config, OLD)
    report = start(new, base)
    assert report.not_carried == ("FTRL's settings changed: its z was rebuilt so that it holds the carried weights",)
    before = [variable.numpy() for variable in new.model.wide_variables]
    zeros = [(tf.zeros_like(v) if v is not new.model.bias else tf.zeros(())) for v in new.optimizers.variables]
    new.optimizers.apply(zeros)  # FTRL recomputes every weight from z and n
    for variable, value in zip(new.model.wide_variables, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)
    np.testing.assert_allclose(new.model.bias.numpy(), old.model.bias.numpy(), atol=1e-6)


def test_merged_oov_buckets_start_from_the_mean(old: Trained, base: str) -> None:
    def change(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        features[3]["vocabulary"]["num_oov_buckets"] = 1
        return features

    new = build(with_features(change), OLD)
    report = start(new, base)
    before, now = (t.model.table_weights["embedding/country"].numpy() for t in (old, new))
    np.testing.assert_array_equal(now[:2], before[:2])
    np.testing.assert_allclose(now[2], before[2:].mean(axis=0), rtol=1e-6)
    counts = report.tables["embedding/country"]
    assert (counts.kept, counts.new, counts.dropped) == (3, 0, 0)
    (why,) = report.not_carried
    assert why == (
        "embedding/country: the out-of-vocabulary buckets changed from 2 to 1: a new one starts from old ones' mean"
    )


def test_split_oov_buckets_start_as_copies(old: Trained, base: str) -> None:
    def change(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        features[0]["vocabulary"]["num_oov_buckets"] = 3
        return features

    new = build(with_features(change), OLD)
    report = start(new, base)
    for name in ("wide/app", "embedding/app"):
        variables = [t.model.table_weights[name] for t in (old, new)]
        slots = [t.optimizers.slots(v) for t, v in zip((old, new), variables, strict=True)]
        for before, now in (variables, *zip(*(s.values() for s in slots), strict=True)):
            np.testing.assert_array_equal(now.numpy()[4:], np.repeat(before.numpy()[4:], 3, axis=0))
    assert report.not_carried == ()


def test_a_quantile_starts_from_the_one_that_it_lies_in(old: Trained, base: str) -> None:
    """The quantiles' boundaries were 1, 2 and 4."""

    def change(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        features[2]["num_quantiles"] = 6
        return features

    new = build(with_features(change), OLD, boundaries=np.array([1, 1.4, 2, 3, 4], np.float32))
    report = start(new, base)
    for before, now in zip(
        *(t.optimizers.slots(t.model.table_weights["wide/price"]).values() for t in (old, new)), strict=True
    ):
        np.testing.assert_array_equal(now.numpy(), before.numpy()[[0, 1, 1, 2, 2, 3, 4]])
    counts = report.tables["wide/price"]
    assert (counts.kept, counts.new, counts.dropped) == (7, 0, 0)
    assert report.not_carried == (
        "wide/app_x_price: the crossed features' quantiles changed from {'price': 4} to {'price': 6}",
    )


def test_an_added_and_a_removed_feature_keep_the_others_inputs(old: Trained, base: str) -> None:
    def change(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        added = {"name": "age", "side": "context", "kind": "numeric", "num_quantiles": 3, "parts": ["deep"]}
        return [added, features[3], features[0], features[1]]  # price is removed, country comes first

    config = with_features(change, crosses=[])
    new = build(config, OLD, seed=3)
    report = start(new, base)
    before, now = (t.model.dense_variables["dense_0/kernel"].numpy() for t in (old, new))
    # Before: app 0-3, installed 4-7, price 8-9, country 10-13. Now: age 0-1, country 2-5, app 6-9, installed 10-13.
    np.testing.assert_array_equal(now[:2], 0.0)
    np.testing.assert_array_equal(now[2:6], before[10:14])
    np.testing.assert_array_equal(now[6:14], before[0:8])
    assert "dense_0/kernel: new inputs ['age']; inputs gone ['price']" in report.not_carried
    assert "wide/price: no longer in the model" in report.not_carried
    assert report.dense[-1] == "dense_2/kernel"


def test_an_input_that_means_something_else_starts_without_effect(old: Trained, base: str) -> None:
    # `installed` is now summed instead of averaged; the other inputs keep their rows of the first layer.
    combiner = "sum" if make_config().model.list_combiner != "sum" else "mean"
    new = build(
        make_config(model={"embedding_dim": 4, "hidden_units": [16, 8], "list_combiner": combiner}), OLD, seed=3
    )
    report = start(new, base)
    before, now = (t.model.dense_variables["dense_0/kernel"].numpy() for t in (old, new))
    np.testing.assert_array_equal(now[0:4], before[0:4])
    np.testing.assert_array_equal(now[4:8], 0.0)
    np.testing.assert_array_equal(now[8:14], before[8:14])
    assert "dense_0/kernel: new inputs ['installed']; inputs gone ['installed']" in report.not_carried


def derived(part: str | None, zone: str = "UTC", form: str = "iso", name: str = "country") -> Config:
    """The small deployment's config with a feature that is derived, and a cross of the country."""
    derive = None if part is None else {"part": part, "format": form, "time_zone": zone}

    def change(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [f | {"derive": derive, "parts": ["wide", "deep"]} if f["name"] == name else f for f in features]

    crosses = [
        {"features": ["installed", "app"], "min_count": 2},
        {"features": ["app", "country"], "num_hash_buckets": 9},
    ]
    return with_features(change, crosses=crosses)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (derived("month"), derived("day")),
        (derived("hour"), derived("hour", "Europe/Berlin")),
        (derived(None), derived("month")),
        (derived("month"), derived(None)),
    ],
)
def test_rows_of_a_feature_whose_derive_changed_start_cold(tmp_path: Path, before: Config, now: Config) -> None:
    old = build(before, OLD)
    for variable in old.optimizers.variables:
        variable.assign(tf.fill(variable.shape, 2.0))
    new, cold = build(now, OLD, seed=2), build(now, OLD, seed=2)
    report = start(new, save(old, tmp_path))
    assert report.not_carried == (
        "wide/country: `derive` changed for ['country']",
        "wide/app_x_country: `derive` changed for ['country']",
        "embedding/country: `derive` changed for ['country']",
        "dense_0/kernel: inputs whose `derive` changed ['country']",
    )
    anew = {"wide/country", "wide/app_x_country", "embedding/country"}
    for table, initial in cold.model.table_weights.items():
        expected = initial.numpy() if table in anew else np.full(initial.shape, 2.0)
        np.testing.assert_array_equal(new.model.table_weights[table].numpy(), expected, err_msg=table)
    kernel = new.model.dense_variables["dense_0/kernel"].numpy()
    np.testing.assert_array_equal(kernel[:10], 2.0)  # app, installed and price
    np.testing.assert_array_equal(kernel[10:], 0.0)


def test_an_embedding_starts_cold_if_any_feature_that_shares_it_is_derived_anew(tmp_path: Path) -> None:
    month, day = derived("month", name="app"), derived("day", name="app")
    old = build(month, OLD)
    report = start(build(day, OLD), save(old, tmp_path))
    assert report.not_carried == (
        "wide/app: `derive` changed for ['app']",
        "wide/installed_x_app: `derive` changed for ['app']",
        "wide/app_x_country: `derive` changed for ['app']",
        "embedding/app: `derive` changed for ['app']",  # `installed` has it, too
        "dense_0/kernel: inputs whose `derive` changed ['app']",
    )
    assert report.tables["wide/installed"].kept == 5


def test_another_form_of_the_same_part_is_no_change(tmp_path: Path) -> None:
    old = build(derived("month"), OLD)
    assert start(build(derived("month", form="epoch_seconds"), OLD), save(old, tmp_path)).not_carried == ()


@pytest.mark.parametrize(("layer", "units", "before_units"), [(0, [20, 8], 16), (1, [16, 10], 8)])
def test_new_units_are_carried_with_the_old_ones(
    old: Trained, base: str, layer: int, units: list[int], before_units: int
) -> None:
    config = make_config(model={"embedding_dim": 4, "hidden_units": units})
    new, cold = build(config, OLD, seed=3), build(config, OLD, seed=3)
    report = start(new, base)
    added = units[layer] - before_units
    assert report.not_carried == (f"dense_{layer}: {added} units are new, besides {before_units} that are carried",)
    assert report.dense == tuple(old.model.dense_variables)
    before, now, initial = (t.model.dense_variables for t in (old, new, cold))
    name, above = f"dense_{layer}/kernel", f"dense_{layer + 1}/kernel"
    np.testing.assert_array_equal(now[name].numpy()[:, :before_units], before[name].numpy())
    np.testing.assert_array_equal(now[name].numpy()[:, before_units:], initial[name].numpy()[:, before_units:])
    np.testing.assert_array_equal(now[above].numpy()[:before_units], before[above].numpy())
    np.testing.assert_array_equal(now[above].numpy()[before_units:], 0.0)


def test_fewer_units_and_the_layers_above_start_cold(base: str) -> None:
    report = start(build(make_config(model={"embedding_dim": 4, "hidden_units": [16, 5]}), OLD), base)
    assert report.dense == ("bias", "dense_0/kernel", "dense_0/bias")
    assert report.not_carried == ("dense_1 and the layers above: the number of units fell from 8 to 5",)


@pytest.mark.parametrize("units", [[16], [16, 8, 4]])
def test_layers_above_the_last_common_one_start_cold(base: str, units: list[int]) -> None:
    report = start(build(make_config(model={"embedding_dim": 4, "hidden_units": units}), OLD), base)
    common = min(2, len(units))
    assert report.dense == ("bias", *(f"dense_{i}/{part}" for i in range(common) for part in ("kernel", "bias")))
    assert report.not_carried == (
        f"dense_{common} and the layers above: the number of hidden layers changed from 2 to {len(units)}",
    )


def test_another_activation_and_batch_normalization_start_the_layers_cold(base: str) -> None:
    model = {"embedding_dim": 4, "hidden_units": [16, 8], "activation": "tanh", "batch_norm": True}
    report = start(build(make_config(model=model), OLD), base)
    assert report.dense == ("bias",)
    assert report.not_carried[0] == (
        "the dense layers: `activation` changed from relu to tanh; `batch_norm` changed from False to True"
    )


def test_hidden_layers_can_be_left_out(old: Trained, base: str) -> None:
    config = make_config(training={**OPTIMIZERS, "batch_size": 32, "warm_start_hidden_layers": False})
    new, cold = build(config, OLD, seed=3), build(config, OLD, seed=3)
    report = start(new, base)
    assert report.dense == ("bias",)
    assert report.not_carried == ("the dense layers: `training.warm_start_hidden_layers` is false",)
    for name, variable in new.model.dense_variables.items():
        expected = old if name == "bias" else cold
        np.testing.assert_array_equal(variable.numpy(), expected.model.dense_variables[name].numpy())
    embeddings = [t.model.table_weights["embedding/app"].numpy() for t in (new, old)]
    np.testing.assert_array_equal(embeddings[0], embeddings[1])


def test_batch_normalization_is_carried_with_its_averages(tmp_path: Path) -> None:
    config = make_config(model={"embedding_dim": 4, "hidden_units": [16, 8], "batch_norm": True})
    old = build(config, OLD)
    old.train(5, seed=1)
    new = build(config, OLD, seed=3)
    report = start(new, save(old, tmp_path))
    assert report.not_carried == ()
    np.testing.assert_allclose(new.logits(5), old.logits(5), atol=1e-6)


@pytest.mark.parametrize(("width", "common"), [(6, 4), (3, 3)])
def test_of_another_embedding_width_the_columns_of_both_are_carried(
    old: Trained, base: str, width: int, common: int
) -> None:
    config = make_config(model={"embedding_dim": width, "hidden_units": [16, 8]})
    new, cold = build(config, OLD, seed=3), build(config, OLD, seed=3)
    report = start(new, base)
    now, before, initial = (t.model.table_weights["embedding/app"].numpy() for t in (new, old, cold))
    np.testing.assert_array_equal(now[:, :common], before[:, :common])
    np.testing.assert_array_equal(now[:, common:], 0.0)
    # Inputs of both models: app, installed, price, country; each except the price is as wide as the embedding.
    now, before, initial = (t.model.dense_variables["dense_0/kernel"].numpy() for t in (new, old, cold))
    for block, old_block in ((0, 0), (width, 4), (2 * width + 2, 10)):
        np.testing.assert_array_equal(now[block : block + common], before[old_block : old_block + common])
        np.testing.assert_array_equal(now[block + common : block + width], initial[block + common : block + width])
    np.testing.assert_array_equal(now[2 * width : 2 * width + 2], before[8:10])
    assert report.tables["embedding/app"].kept == 5
    assert report.not_carried == tuple(
        f"embedding/{name}: the embedding's width changed from 4 to {width}; the columns of both are carried"
        for name in ("app", "country")
    )


def test_another_number_of_hash_buckets_starts_cold(base: str) -> None:
    crosses = [
        {"features": ["installed", "app"], "min_count": 2},
        {"features": ["app", "price"], "num_hash_buckets": 60},
    ]
    report = start(build(make_config(crosses=crosses), OLD), base)
    assert report.tables["wide/app_x_price"].kept == 0
    assert report.not_carried == ("wide/app_x_price: the number of hash buckets changed from 50 to 60",)
    assert report.tables["wide/app"].kept == 5


def test_another_deep_optimizer_starts_its_state_anew(old: Trained, base: str) -> None:
    new = build(make_config(training={"deep_optimizer": {"name": "adam"}}), OLD)
    report = start(new, base)
    np.testing.assert_allclose(new.logits(5), old.logits(5), atol=1e-6)
    assert "embedding/app's optimizer state: the optimizer changed" in report.not_carried
    assert int(new.optimizers.deep.iterations) == 0  # type: ignore[union-attr]


def test_adagrads_step_count_is_not_adams(tmp_path: Path) -> None:
    """The moving averages of batch normalization have no optimizer state, of which none is the same as none."""
    model = {"embedding_dim": 4, "hidden_units": [16, 8], "batch_norm": True}
    old = build(make_config(model=model), OLD)
    old.train(5, seed=1)
    new = build(make_config(model=model, training={"deep_optimizer": {"name": "adam"}}), OLD)
    start(new, save(old, tmp_path))
    assert int(new.optimizers.deep.iterations) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"hidden_units": [16, 5]}, {"activation": "tanh"}])
def test_layers_without_moments_take_adams_first_steps(tmp_path: Path, change: dict[str, Any]) -> None:
    """Adam's first step is the learning rate; of cold moments at a step count of 50 it would be 0.7 times that."""
    model, training = (
        {"embedding_dim": 4, "hidden_units": [16, 8]},
        {"deep_optimizer": {"name": "adam", "learning_rate": 0.05}},
    )
    old = build(make_config(model=model, training=training), OLD)
    old.train(50, seed=1)
    new = build(make_config(model=model | change, training=training), OLD)
    report = start(new, save(old, tmp_path))
    assert int(new.optimizers.deep.iterations) == 0  # type: ignore[union-attr]
    assert report.not_carried[-1] == "Adam's step count: not all hidden layers were carried"
    before = {name: variable.numpy() for name, variable in new.model.dense_variables.items()}
    new.train(1, seed=2)
    rate = new.config.training.deep_optimizer.learning_rate
    moved = {name: np.abs(v.numpy() - before[name]).max() for name, v in new.model.dense_variables.items()}
    assert moved["dense_2/kernel"] == pytest.approx(rate, rel=1e-3)


def test_a_cold_start_says_why(config: Config, base: str, tmp_path: Path) -> None:
    cold = build(config, NEW)
    assert start(cold, None).not_carried == ("there is no previous model",)
    (why,) = start(cold, str(tmp_path / "foreign" / "Format-Serving")).not_carried
    assert why.startswith("the previous model has no warm-start files")
    never = dataclasses.replace(config.training, warm_start=False)
    report = warm_start(cold.model, cold.optimizers, never, cold.transform_state, base)
    assert report == WarmStartReport(None, not_carried=("`training.warm_start` is false",))


def test_the_wide_part_alone_starts_from_both(config: Config, old: Trained, base: str) -> None:
    wide_only = dataclasses.replace(config, model=dataclasses.replace(config.model, parts="wide"))
    new = build(wide_only, NEW)
    report = start(new, base)
    np.testing.assert_allclose(new.model.bias.numpy(), old.model.bias.numpy())
    assert report.not_carried == ("embedding/app: no longer in the model", "embedding/country: no longer in the model")
