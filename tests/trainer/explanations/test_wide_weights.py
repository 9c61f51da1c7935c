"""The page of the wide part's weights, and the names of its rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.trained_model import Trained, build
from trainer.explanations.wide_weights import NUM_STRONGEST, non_zero_rows, row_names, to_markdown
from trainer.transform_output.state import TransformState
from trainer.wide_deep.tables import RowKeys
from transform.combinations import NUM_COUNT_BUCKETS
from transform.config.config import Config

LEARNED = TransformState(
    {
        "app": [b"maps", "Müller|\n".encode(), b"\xff\x00"],
        "price_x_app": [b"0\x1fmaps", b"2\x1fmaps", b"0\x1fa\x1fb", b"3\x1fmaps"],
    },
    {"price": np.array([0.5, 2], np.float32)},
)
APP = RowKeys("vocabulary", "app", oov_buckets=2)
CROSS = RowKeys("vocabulary", "price_x_app", features=("price", "app"), quantiles={"price": 3})


@pytest.mark.parametrize(
    ("keys", "row", "expected"),
    [
        (APP, 0, ["maps"]),
        (APP, 1, [r"Müller|\n"]),
        (APP, 2, [r"\xff\x00"]),
        (APP, 4, ["(out of vocabulary, bucket 1 of 2)"]),
        (CROSS, 0, ["below 0.5", "maps"]),
        (CROSS, 1, ["from 2", "maps"]),
        (CROSS, 2, [r"0\x1fa\x1fb", ""]),
        (CROSS, 3, ["(missing)", "maps"]),
        (RowKeys("quantiles", features=("price",)), 1, ["from 0.5 below 2"]),
        (RowKeys("quantiles", features=("price",)), 3, ["(missing)"]),
        (RowKeys("hash", features=("price", "app")), 7, ["hash bucket 7"]),
        (RowKeys("rows"), 0, ["0"]),
        (RowKeys("rows"), 1, ["1"]),
        (RowKeys("rows"), 3, ["4 to 7"]),
        (RowKeys("rows"), NUM_COUNT_BUCKETS - 1, ["1,073,741,824 or more"]),
        (RowKeys("rows"), NUM_COUNT_BUCKETS, ["(hidden)"]),
        (RowKeys("share"), 16, ["odds × 1"]),
        (RowKeys("share"), 20, ["odds × 7.39"]),  # e²
        (RowKeys("share"), NUM_COUNT_BUCKETS, ["(hidden)"]),
    ],
)
def test_a_row_has_a_readable_name(keys: RowKeys, row: int, expected: list[str]) -> None:
    assert row_names(keys, row, LEARNED) == expected


@pytest.fixture
def weighted(config: Config) -> Trained:
    """A model whose weights are zero except for some that are set explicitly."""
    trained = build(
        config,
        {"app": [b"maps", b"chat", b"mail"], "country": [b"de"], "installed_x_app": [b"maps\x1fchat", b"chat\x1fmaps"]},
    )
    trained.model.bias.assign(-1.25)
    weights = {"wide/app": {0: 2.0, 2: -0.5, 3: 0.25}, "wide/installed_x_app": {1: -1.0}, "wide/app_x_price": {49: 3.0}}
    for name, rows in weights.items():
        variable = trained.model.table_weights[name]
        values = np.zeros(variable.shape, np.float32)
        values[list(rows)] = list(rows.values())
        variable.assign(values)
    return trained


def test_the_strongest_weights_are_listed_by_name(weighted: Trained) -> None:
    page = to_markdown(weighted.model, weighted.transform_state)
    assert "The bias is -1.2500.\n" in page
    sizes, app, installed, price, cross, hashed = page.split("\n## ")
    assert sizes.splitlines()[-7:] == [
        "| rows of | in all | non-zero | share |",
        "| --- | ---: | ---: | ---: |",
        "| app | 4 | 3 | 75.0% |",
        "| installed | 4 | 0 | 0.0% |",
        "| price | 5 | 0 | 0.0% |",
        "| installed × app | 2 | 1 | 50.0% |",
        "| app × price | 50 | 1 | 2.0% |",
    ]
    assert (
        app
        == """app

Rows that raise the score most:

| weight | odds × | app |
| ---: | ---: | --- |
| +2.0000 | 7.39 | maps |
| +0.2500 | 1.28 | (out of vocabulary, bucket 0 of 1) |

Rows that lower the score most:

| weight | odds × | app |
| ---: | ---: | --- |
| -0.5000 | 0.607 | mail |
"""
    )
    assert installed == "installed\n\nAll weights are zero.\n"
    assert price == "price\n\nAll weights are zero.\n"
    assert "| weight | odds × | installed | app |" in cross
    assert "| -1.0000 | 0.368 | chat | maps |" in cross
    assert "raises" not in cross
    assert "Combinations are hashed" in hashed
    assert "| +3.0000 | 20.1 | hash bucket 49 |" in hashed


def test_a_token_does_not_become_markup(weighted: Trained) -> None:
    state = weighted.transform_state
    tokens = [b"<img src=x>", *state.vocabularies["app"][1:]]
    changed = dataclasses.replace(state, vocabularies={**state.vocabularies, "app": tokens})
    text = to_markdown(weighted.model, changed)
    assert "<img" not in text.replace(r"\<img", "")
    assert r"\<img src=x>" in text


def test_a_bar_in_a_token_does_not_end_a_cell(weighted: Trained) -> None:
    vocabularies = dict(weighted.transform_state.vocabularies) | {"app": [b"ma|ps", b"chat", b"mail"]}
    state = dataclasses.replace(weighted.transform_state, vocabularies=vocabularies)
    assert r"| +2.0000 | 7.39 | ma\|ps |" in to_markdown(weighted.model, state)


def test_no_more_than_the_strongest_are_listed(weighted: Trained) -> None:
    variable = weighted.model.table_weights["wide/app_x_price"]
    variable.assign(tf.range(1, 51, dtype=tf.float32))
    page = to_markdown(weighted.model, weighted.transform_state)
    assert page.count("hash bucket") == NUM_STRONGEST
    assert page.index("hash bucket 49") < page.index("hash bucket 48") < page.index(f"hash bucket {50 - NUM_STRONGEST}")


def test_a_quantile_that_no_value_is_in_is_not_listed(weighted: Trained) -> None:
    """Rows: below 0.5; from 0.5 below 0.5, which is empty; from 0.5 below 2; from 2; missing."""
    transform_state = dataclasses.replace(weighted.transform_state, boundaries={"price": np.array([0.5, 0.5, 2.0])})
    weighted.model.table_weights["wide/price"].assign([1.0, 5.0, -1.0, 0.0, 0.5])
    page = to_markdown(weighted.model, transform_state)
    price = page.split("\n## ")[3]
    listed = [line.split("| ")[3] for line in price.splitlines() if line.startswith(("| +", "| -0", "| -1"))]
    assert listed == ["below 0.5 |", "(missing) |", "from 0.5 below 2 |"]


def test_non_zero_rows_are_counted(weighted: Trained) -> None:
    assert non_zero_rows(weighted.model) == {
        "wide/app": 3,
        "wide/installed": 0,
        "wide/price": 0,
        "wide/installed_x_app": 1,
        "wide/app_x_price": 1,
    }
