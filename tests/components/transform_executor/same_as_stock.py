"""Runs Transform's executor and TFX's on the same examples, and compares what they write.

Of days of one file each, all is compared bit by bit: vocabularies, metadata, and transformed rows, in which boundaries
show. Of days of several files, the ranks of boundaries must be right to 2e-4, as TFX's are, since a sketch depends on
how its values are divided; all else is compared bit by bit. A row's features are compared as messages: their order in a
serialized example is not determined. Standardized numbers may differ in their last bit: Beam merges the batches' means
in another order.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
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


def check_same(config: Config, ours: Written, stock: Written, without: Collection[str] = ()) -> None:
    """Compares all files and rows.

    Args:
      config: The config.
      ours: What the project's executor wrote.
      stock: What TFX's wrote.
      without: Features that are left out.
    """
    assert ours.files == stock.files
    assert ours.rows.keys() == stock.rows.keys()
    standardized = {transformed_name(f.name) for f in config.spec.features if f.scale != "quantile"}
    left_out = standardized | {transformed_name(name) for name in without}
    for place, rows in stock.rows.items():
        assert [_bits(row, left_out) for row in ours.rows[place]] == [_bits(row, left_out) for row in rows]
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


def day(config: Config, folder: Path, span: int, rows: int, num_files: int = 1) -> Artifact:
    """Writes the examples of a day, those for training in a number of files."""
    train = random_examples(config, span, rows, 2 * span)
    splits: dict[str, list[Iterable[bytes]]] = {
        "train": [itertools.islice(train, rows // num_files) for _ in range(num_files)],
        "eval": [random_examples(config, span, 50, 2 * span + 1)],
    }
    return examples(folder / f"examples-{span}", span, splits)


def check_a_day_of_several_files(config: Config, folder: Path, rows: int, num_files: int) -> None:
    """Compares a day whose features of quantiles are in no cross."""
    window = [day(config, folder, 1, rows, num_files)]
    ours, stock = (run(executor, config, window, folder / executor.__name__) for executor in EXECUTORS)
    quantiles = [f for f in config.spec.features if f.num_quantiles is not None]
    check_same(config, ours, stock, [name for f in quantiles for name in (f.name, f.bucket_name)])
    for feature in quantiles:
        assert feature.num_quantiles is not None
        for written in (ours, stock):
            numbers = np.array([_number(row, transformed_name(feature.name)) for row in written.rows[0, "train"]])
            _, counts = np.unique(numbers, return_counts=True)
            # The first is of rows without a value. The share of the others up to a quantile is its boundary's rank.
            ranks = np.cumsum(counts[1:-1]) / counts[1:].sum()
            exact = np.arange(1, feature.num_quantiles) / feature.num_quantiles
            np.testing.assert_allclose(ranks, exact, atol=2e-4, rtol=0, err_msg=feature.name)


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
