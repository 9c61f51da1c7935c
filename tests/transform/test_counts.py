"""tf.Transform's output for a count: equal keys for equal combinations, and no label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.transform.transformed import Row, Transformed
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.example_keys import FOLD, NO_FOLD, NO_SPAN, SHARES_LABEL, SPAN


def config_of(*counts: dict[str, Any]) -> Config:
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "user", "side": "context", "kind": "categorical", "vocabulary": {}},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "price", "side": "item", "kind": "numeric", "num_quantiles": 2, "parts": ["deep"]},
            ],
            "count_encodings": list(counts),
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    )


def to_row(user: str | None, app: str, label: int, price: float) -> Row:
    row: Row = {"user": [] if user is None else [user], "app": [app], "price": [price], "label": [label]}
    return row | {"request_id": ["r"], SPAN: [4], FOLD: [label], SHARES_LABEL: [1]}


#: Columns: user, app, label, price.
TABLE = [
    ("ann", "chess", 1, 1.0),
    ("ann", "chess", 0, 2.0),
    ("ann", "my maps", 0, 2.0),
    ("bob", "my maps", 1, 1.0),
    (None, "my maps", 1, 2.0),
]


def test_a_key_stands_for_a_combination(tmp_path: Path) -> None:
    config = config_of({"features": ["user", "app"]}, {"features": ["price"]})
    transformed = Transformed(config, [to_row(*row) for row in TABLE], tmp_path)
    keys = transformed.columns["count_of_user_x_app_key_xf"]
    pairs = [(user, app) for user, app, _, _ in TABLE]
    assert {
        (a == b) == (x == y) for a, x in zip(keys, pairs, strict=True) for b, y in zip(keys, pairs, strict=True)
    } == {True}
    by_price = transformed.columns["count_of_price_key_xf"]  # a numeric feature is counted by its quantile
    assert [key == by_price[0] for key in by_price] == [price == 1.0 for *_, price in TABLE]
    assert min(keys + by_price) >= 0

    assert transformed.columns[SPAN] == [4] * 5
    assert transformed.columns[SHARES_LABEL] == [1] * 5
    assert transformed.columns[FOLD] == [label for _, _, label, _ in TABLE]
    request: Row = {"user": ["ann"], "app": ["chess"], "price": [1.0], "label": [0]}
    out = transformed.apply([request])
    assert out["count_of_user_x_app_key_xf"] == keys[:1]
    assert (out[SPAN], out[FOLD], out[SHARES_LABEL]) == ([NO_SPAN], [NO_FOLD], [0])
