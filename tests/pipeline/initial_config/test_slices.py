"""The slices that `wdr init` writes: the item's category and price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.initial_config.guessing import log_of, of_csv
from transform.config.evaluation import SliceThreshold

NUM_ROWS = 400


def columns(**more: list[Any]) -> dict[str, list[Any]]:
    """Columns of a log with users, items and a label, and some more."""
    return {
        "user_id": [f"u{i % 50}" for i in range(NUM_ROWS)],
        "app_id": [f"a{i % 40}" for i in range(NUM_ROWS)],
        **more,
        "label": [int(i % 7 == 0) for i in range(NUM_ROWS)],
    }


def slices(folder: Path, **more: list[Any]) -> tuple[str, ...]:
    return of_csv(folder, log_of(columns(**more)))[0].evaluation.slices


def test_the_category_and_the_price_of_items_are_slices(tmp_path: Path) -> None:
    category = [f"c{i % 40 % 6}" for i in range(NUM_ROWS)]
    price = [0 if i % 40 < 30 else 0.99 + i % 4 for i in range(NUM_ROWS)]
    config, text = of_csv(tmp_path, log_of(columns(category=category, price=price)))
    assert config.evaluation.slices == ("category", "price < 0.99")
    assert config.evaluation.slice_thresholds == {
        "auc": SliceThreshold(max_worsening=0.05), "logloss": SliceThreshold(max_worsening=0.02)
    }  # fmt: skip
    assert '  slices: [category, "price < 0.99"]  # by their names: a model may be wrong for some items alone\n' in text


@pytest.mark.parametrize(
    ("prices", "bound"),
    [
        ([7 * i % 400 + 1 for i in range(NUM_ROWS)], "201"),  # no price is frequent: the median of 1 to 400
        ([-2.5 if i % 4 else 1e-7 * (i % 40 + 4) for i in range(NUM_ROWS)], "0.0000004"),
    ],
)
def test_the_bound_of_a_price_is_a_plain_number(tmp_path: Path, prices: list[float], bound: str) -> None:
    assert slices(tmp_path, price=prices) == (f"price < {bound}",)


def test_a_category_of_many_values_and_one_of_no_item_are_no_slices(tmp_path: Path) -> None:
    assert slices(tmp_path, category=[f"c{i % 120}" for i in range(NUM_ROWS)]) == ()
    with_label = columns(category=[f"c{i % 6}" for i in range(NUM_ROWS)])
    del with_label["user_id"], with_label["app_id"]  # no users and no requests: no items either
    config, text = of_csv(tmp_path, log_of(with_label))
    assert config.evaluation.slices == ()
    assert "slice" not in text.split("evaluation:")[1]


def test_lists_of_genres_are_slices(tmp_path: Path) -> None:
    genres = [f"g{i % 5}|g{i % 3}" for i in range(NUM_ROWS)]
    assert slices(tmp_path, genres=genres) == ("genres",)
