"""Batches are bounded by what they hold, and what Transform writes does not depend on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from components.transform_executor import batches
from components.transform_executor.batches import split_by_combinations
from components.transform_executor.executor import TransformExecutor
from tests.components.transform_executor.same_as_stock import day
from tests.components.transform_executor.transform_runs import run
from transform.config.config_file import parse_config
from transform.files import tfrecords

#: A cross of two lists, and quantiles of more values than a sketch holds exactly, which is some 6,000.
CONFIG = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [
            {"name": "tags", "side": "item", "kind": "categorical_list", "vocabulary": {}},
            {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": {}},
            {"name": "price", "side": "item", "kind": "numeric", "num_quantiles": 5},
        ],
        "crosses": [{"features": ["tags", "installed"], "min_count": 2}],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)


def example(tags: int, installed: int) -> bytes:
    found = tf.train.Example()
    for name, number in (("tags", tags), ("installed", installed)):
        found.features.feature[name].bytes_list.value.extend([b"x"] * number)
    serialized: bytes = found.SerializeToString()
    return serialized


def test_a_batch_is_split_before_the_row_with_too_many_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MAX_COMBINATIONS", 10)
    lengths = [(2, 2), (3, 2), (1, 1), (5, 5), (0, 9), (10, 1), (1, 1)]  # 4, 6, 1, 25, 0, 10 and 1 combinations
    batch = tf.constant([example(*of_row) for of_row in lengths])
    pieces = list(split_by_combinations([batch, batch[:1]], CONFIG.spec.crossed_lists()))
    assert [len(piece) for piece in pieces] == [2, 1, 1, 2, 1, 1]
    assert tf.concat(pieces, 0).numpy().tolist() == [*batch.numpy(), batch[0].numpy()]


def test_without_a_cross_of_lists_batches_stay_as_they_are() -> None:
    batch = tf.constant([b"no example"])
    assert list(split_by_combinations([batch], [])) == [batch]


def test_a_row_may_have_more_combinations_than_an_integer_holds() -> None:
    batch = tf.constant([example(10_000, 10_000)] * 2)
    many = [["tags", "installed"] * 3]  # 10 to the power of 24
    assert [len(piece) for piece in split_by_combinations([batch], many)] == [1, 1]


@pytest.mark.slow
def test_what_is_written_does_not_depend_on_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    window = [day(CONFIG, tmp_path, 1, 8000)]
    usual = run(TransformExecutor, CONFIG, window, tmp_path / "usual")
    monkeypatch.setattr(tfrecords, "_BATCH_BYTES", 20_000)
    monkeypatch.setattr(batches, "_MAX_COMBINATIONS", 100)
    small = run(TransformExecutor, CONFIG, window, tmp_path / "small")
    assert small.files == usual.files
    assert small.rows == usual.rows
