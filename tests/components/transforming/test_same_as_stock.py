"""Transform's executor against TFX's, on the same examples: vocabularies, metadata and transformed rows, bit by bit.

A row's features are compared as messages: their order in a serialized example is not determined.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.components.transform.executor import Executor as StockExecutor
from tfx.types import Artifact

from components.transforming.executor import TransformExecutor
from tests.components.transforming.random_examples import random_examples
from tests.components.transforming.transform_runs import Written, examples, run
from tests.transform.small_config import small_config
from tests.transform.test_preprocessing import CONFIG as HARD_CASES
from transform.config.config import Config, load_config, parse_config

ROOT = Path(__file__).parents[3]
CONFIG_FILES = sorted(
    path for folder in ("configs", "configs/examples", "tests/e2e") for path in (ROOT / folder).glob("*.yaml")
)

#: The executor, and the oracle.
EXECUTORS = (TransformExecutor, StockExecutor)

#: A vocabulary of two features, quantiles, and a cross whose tokens depend on the quantiles.
SMALL = small_config(("crosses", [{"features": ["installed", "price"], "min_count": 2, "max_size": 9}]))

#: Quantiles of more values than a sketch holds exactly: of 15,000 a day; it holds about 6,000.
NUMBERS = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [{"name": f"of_{n}", "side": "item", "kind": "numeric", "num_quantiles": n} for n in (2, 5)],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)


def check_same(ours: Written, stock: Written) -> None:
    assert ours.files == stock.files
    assert ours.rows.keys() == stock.rows.keys()
    for place, rows in stock.rows.items():
        assert [_bits(row) for row in ours.rows[place]] == [_bits(row) for row in rows], place


def _bits(row: tf.train.Example) -> dict[str, tuple[str, bytes]]:
    """Each feature's kind and values; a number as its bytes, so that equal ones with other bits differ."""
    found = {}
    for name, feature in row.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else []
        form = {"float_list": "f", "int64_list": "q"}.get(kind)
        found[name] = (str(kind), struct.pack(f"{len(values)}{form}", *values) if form else b"\0".join(values))
    return found


def day(config: Config, folder: Path, span: int, rows: int) -> Artifact:
    splits: dict[str, list[Iterable[bytes]]] = {
        "train": [random_examples(config, span, rows, 2 * span)],
        "eval": [random_examples(config, span, 50, 2 * span + 1)],
    }
    return examples(folder / f"examples-{span}", span, splits)


def check_two_days(config: Config, folder: Path, rows: int) -> None:
    """Compares a first day, and a next day with what the first left: its cache and its memory."""
    days = [day(config, folder, span, rows) for span in (1, 2)]
    first = {executor: run(executor, config, days[:1], folder / f"{executor.__name__}-1") for executor in EXECUTORS}
    check_same(first[TransformExecutor], first[StockExecutor])
    memory = first[TransformExecutor].memory
    second = {
        executor: run(executor, config, days[::-1], folder / f"{executor.__name__}-2", first[executor].cache, memory)
        for executor in EXECUTORS
    }
    check_same(second[TransformExecutor], second[StockExecutor])


def test_a_day_of_a_small_config(tmp_path: Path) -> None:
    window = [day(SMALL, tmp_path, 1, 300)]
    ours, stock = (run(executor, SMALL, window, tmp_path / executor.__name__) for executor in EXECUTORS)
    check_same(ours, stock)


@pytest.mark.slow
def test_two_days_of_hard_cases(tmp_path: Path) -> None:
    check_two_days(HARD_CASES, tmp_path, 300)


@pytest.mark.slow
def test_quantiles_that_are_approximate(tmp_path: Path) -> None:
    check_two_days(NUMBERS, tmp_path, 15_000)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_every_config(path: Path, tmp_path: Path) -> None:
    check_two_days(load_config(path), tmp_path, 300)
