"""Runs Transform's executor and TFX's on the same examples, and compares what they write.

A row's features are compared as messages: their order in a serialized example is not determined. Standardized numbers
may differ in their last bit: Beam merges the batches' means in another order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterable
from pathlib import Path

import tensorflow as tf
from tfx.components.transform.executor import Executor as StockExecutor
from tfx.types import Artifact

from components.transform_executor.executor import TransformExecutor
from tests.components.transform_executor.random_examples import random_examples
from tests.components.transform_executor.transform_runs import Written, examples, run
from transform.config.config import Config
from transform.feature_spec import transformed_name

ROOT = Path(__file__).parents[3]

#: The executor, and the oracle.
EXECUTORS = (TransformExecutor, StockExecutor)


def check_same(config: Config, ours: Written, stock: Written) -> None:
    assert ours.files == stock.files
    assert ours.rows.keys() == stock.rows.keys()
    standardized = {transformed_name(f.name) for f in config.spec.features if f.scale != "quantile"}
    for place, rows in stock.rows.items():
        assert [_bits(row, standardized) for row in ours.rows[place]] == [_bits(row, standardized) for row in rows]
        for row, expected in zip(ours.rows[place], rows, strict=True):
            for name in standardized:
                found, wanted = (_number(r, name) for r in (row, expected))
                assert math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-12), (place, name)


def _number(row: tf.train.Example, name: str) -> float:
    (number,) = row.features.feature[name].float_list.value
    return float(number)


def _bits(row: tf.train.Example, without: Collection[str]) -> dict[str, tuple[str, bytes]]:
    """Each feature's kind and values; a number as its bytes, so that equal ones with other bits differ."""
    found = {}
    for name, feature in row.features.feature.items():
        if name in without:
            continue
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
    check_same(config, first[TransformExecutor], first[StockExecutor])
    memory = first[TransformExecutor].memory
    second = {
        executor: run(executor, config, days[::-1], folder / f"{executor.__name__}-2", first[executor].cache, memory)
        for executor in EXECUTORS
    }
    check_same(config, second[TransformExecutor], second[StockExecutor])
