"""Count features run by tf.Transform on hand-made rows, against counts in plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.transform.transformed import Row, Transformed
from transform.config import Config, parse_config
from transform.preprocessing import count_bucket


def config_of(count: dict[str, Any]) -> Config:
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "user", "side": "context", "kind": "categorical", "vocabulary": {}},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "price", "side": "item", "kind": "numeric", "quantiles": 2, "parts": ["deep"]},
            ],
            "counts": [count],
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    )


def to_row(user: str | None, app: str, label: int, price: float = 1.0) -> Row:
    return {
        "user": [] if user is None else [user],
        "app": [app],
        "price": [price],
        "label": [label],
        "request_id": ["r"],
    }


#: A user, an app, a label, a price. A space, as the file of counts has spaces between its columns.
TABLE = [
    *[("ann", "chess", 1, 1.0)] * 4,
    ("ann", "chess", 1, 2.0),
    *[("ann", "chess", 0, 2.0)] * 2,
    ("ann", "my maps", 0, 2.0),
    ("bob", "my maps", 1, 2.0),
    (None, "my maps", 1, 2.0),
]
#: 0, then one bucket per power of two.
BUCKETS = [0, 1, 2, 2, 3, 3, 3, 3, 4]


def transformed(count: dict[str, Any], folder: Path) -> Transformed:
    return Transformed(config_of(count), [to_row(*row) for row in TABLE], folder)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    return transformed({"features": ["user", "app"]}, tmp_path_factory.mktemp("pairs"))


def test_a_count_is_of_the_rows_with_the_same_values_and_the_label(pairs: Transformed) -> None:
    seen = Counter((user, app, label) for user, app, label, _ in TABLE)
    for label, outcome in ((1, "positives"), (0, "negatives")):
        expected = [BUCKETS[seen[user, app, label]] for user, app, _, _ in TABLE]
        assert pairs.columns[f"count_of_user_x_app_{outcome}_xf"] == expected


def test_in_training_a_row_does_not_count_itself(pairs: Transformed) -> None:
    seen = Counter((user, app, label) for user, app, label, _ in TABLE)
    for label, outcome in ((1, "positives"), (0, "negatives")):
        expected = [BUCKETS[seen[user, app, label] - (own == label)] for user, app, own, _ in TABLE]
        assert pairs.columns[f"count_of_user_x_app_{outcome}_of_others_xf"] == expected


def test_a_request_reads_the_counts_of_training_and_nothing_of_a_combination_never_seen(pairs: Transformed) -> None:
    out = pairs.apply([to_row("ann", "chess", 0), to_row("bob", "chess", 1), to_row(None, "my maps", 0)])
    assert out["count_of_user_x_app_positives_xf"] == [BUCKETS[5], 0, BUCKETS[1]]
    assert out["count_of_user_x_app_negatives_xf"] == [BUCKETS[2], 0, 0]


@pytest.mark.slow
def test_a_number_is_counted_by_its_quantile(tmp_path: Path) -> None:
    prices = transformed({"features": ["price"]}, tmp_path)
    assert set(prices.columns["price_bucket_xf"]) == {0, 1}
    # Price 1: 4 positives; price 2: 3 positives and 3 negatives.
    positives = [BUCKETS[4 if price == 1 else 3] for *_, price in TABLE]
    assert prices.columns["count_of_price_positives_xf"] == positives
    negatives = [BUCKETS[0 if price == 1 else 3] for *_, price in TABLE]
    assert prices.columns["count_of_price_negatives_xf"] == negatives


@pytest.mark.slow
def test_max_size_keeps_the_most_frequent_pairs_of_a_combination_and_a_label(tmp_path: Path) -> None:
    kept = transformed({"features": ["user", "app"], "max_size": 1}, tmp_path)
    positives = [BUCKETS[5] if (user, app) == ("ann", "chess") else 0 for user, app, _, _ in TABLE]
    assert kept.columns["count_of_user_x_app_positives_xf"] == positives
    assert kept.columns["count_of_user_x_app_negatives_xf"] == [0] * len(TABLE)
    # What the file does not hold is 0 with or without the row itself.
    assert kept.columns["count_of_user_x_app_negatives_of_others_xf"] == [0] * len(TABLE)


def test_a_bucket_is_a_power_of_two() -> None:
    counts = [0, 1, 2, 3, 4, 7, 8, 2**29, 2**30 - 1, 2**30, 2**40]
    expected = [0, *(n.bit_length() for n in counts[1:-2]), 31, 31]
    assert count_bucket(tf.constant(counts, tf.int64)).numpy().tolist() == expected
