"""How a model reads counts, and count dropout, which applies in training only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.wide_deep.model import WideDeep
from transform.config.config import Config
from transform.config.config_file import parse_config

HIDDEN = 32
NAMES = [f"count_of_user_x_app_{which}_xf" for which in ("share", "rows")]


def config_of(**model: Any) -> Config:
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "user", "side": "context", "kind": "categorical", "vocabulary": {}, "parts": ["deep"]},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}, "parts": ["deep"]},
            ],
            "count_encodings": [{"features": ["user", "app"]}],
            "model": {"embedding_dim": 3, "hidden_units": [4], "dropout": 0.0} | model,
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    )


def model_of(**settings: Any) -> WideDeep:
    config = config_of(**settings)
    model = WideDeep(config.spec, config.model, {"user": 500, "app": 9})
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    return model


def batch_of(shares: list[int], rows: list[int]) -> dict[str, tf.Tensor]:
    zeros = tf.zeros([len(shares)], tf.int64)
    counts = [tf.constant(ids, tf.int64) for ids in (shares, rows)]
    return {"user_xf": zeros, "app_xf": zeros} | dict(zip(NAMES, counts, strict=True))


def test_each_part_has_a_row_per_bucket_and_one_for_a_hidden_count() -> None:
    model = model_of()
    for name in ("count_of_user_x_app_share", "count_of_user_x_app_rows"):
        assert model.table_weights[f"wide/{name}"].shape == (33,)
        assert model.table_weights[f"embedding/{name}"].shape == (33, 3)
    shares, rows = (model.table_weights[f"wide/{name[:-3]}"].numpy() for name in NAMES)
    expected = [shares[0] + rows[5], shares[31] + rows[1]]
    np.testing.assert_allclose(model.wide_logits(batch_of([0, 31], [5, 1])), expected, rtol=1e-6)


def test_embeddings_of_counts_stand_behind_those_of_features() -> None:
    model = model_of()
    parts = ("user", "app", "count_of_user_x_app_share", "count_of_user_x_app_rows")
    rows = [
        model.table_weights[f"embedding/{name}"].numpy()[row] for name, row in zip(parts, (0, 0, 7, 2), strict=True)
    ]
    np.testing.assert_array_equal(model.deep_input(batch_of([7], [2]))[0], np.concatenate(rows))


def test_all_counts_of_an_example_are_hidden_together_in_training_only() -> None:
    model = model_of(parts="wide", count_dropout=0.25)
    batch = batch_of([4] * 4000, [1] * 4000)
    shares, rows = (model.table_weights[f"wide/{name[:-3]}"].numpy() for name in NAMES)
    shown = model.bias.numpy() + shares[4] + rows[1]
    hidden = model.bias.numpy() + shares[HIDDEN] + rows[HIDDEN]
    np.testing.assert_allclose(model(batch), np.full(4000, shown), rtol=1e-6)

    training_logits = tf.function(model.training_logits, autograph=False)  # a graph, as in training
    logits = training_logits(batch)[0].numpy()
    is_hidden = np.isclose(logits, hidden)
    assert np.all(is_hidden | np.isclose(logits, shown))
    assert is_hidden.mean() == pytest.approx(0.25, abs=0.03)  # 0.25 ± 4 standard errors of 0.007


def test_the_penalty_is_the_mean_square_of_the_embeddings_in_use() -> None:
    model = model_of(embedding_l2=0.1)
    batch = batch_of([7, 0], [2, 2])
    squares = np.square(model.deep_input(batch).numpy()).sum(axis=1)
    np.testing.assert_allclose(model.training_logits(batch)[1], 0.1 * squares.mean(), rtol=1e-5)
    assert model_of().training_logits(batch)[1].numpy() == 0


def test_the_width_of_an_embedding_follows_the_fourth_root_of_its_rows() -> None:
    model = model_of(embedding_dim=8, embedding_dim_factor=2.0)
    widths = {name: variable.shape[1] for name, variable in model.table_weights.items() if name.startswith("embedding")}
    assert widths == {
        "embedding/user": 8,  # 2 · 501^¼ = 9.46, at most 8
        "embedding/app": 4,  # 2 · 10^¼ = 3.56
        "embedding/count_of_user_x_app_share": 5,  # 2 · 33^¼ = 4.79
        "embedding/count_of_user_x_app_rows": 5,
    }
    assert model.deep_input(batch_of([0], [0])).shape == (1, 22)
