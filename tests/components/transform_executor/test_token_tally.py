"""Counts of tokens by file, added up by span, for the vocabularies' memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.transform_executor.token_tally import TokenTally, WrittenTally, counts_of_spans
from transform.config.config_file import parse_config

SPEC = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [
            {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
            {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
            {"name": "weekday", "side": "context", "kind": "categorical", "vocabulary": {}},
        ],
        "crosses": [{"features": ["installed", "app"], "min_count": 1}],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
).spec

Batch = Mapping[str, tf.Tensor | tf.SparseTensor]


def output_of(folder: Path, vocabularies: Mapping[str, Iterable[bytes]]) -> tft.TFTransformOutput:
    assets = folder / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    for name, tokens in vocabularies.items():
        (assets / f"{name}_vocabulary").write_bytes(b"".join(token + b"\n" for token in tokens))
    return tft.TFTransformOutput(str(folder))


def batch(apps: list[int], installed: list[int], pairs: list[int]) -> Batch:
    """The transformed features of a batch: a row for each app, and all values of lists in the first row."""

    def of_first_row(ids: list[int]) -> tf.SparseTensor:
        places = np.array([(0, i) for i in range(len(ids))], np.int64).reshape(-1, 2)
        return tf.SparseTensor(places, tf.constant(ids, tf.int64), [len(apps), len(ids)])

    return {
        "app_xf": tf.constant(apps, tf.int64),
        "installed_xf": of_first_row(installed),
        "weekday_xf": tf.zeros([len(apps)], tf.int64),
        "installed_x_app_xf": of_first_row(pairs),
    }


def written(path: Path, span: int, names: Sequence[str], *batches: Batch) -> WrittenTally:
    """Counts the batches of a file."""
    tally = TokenTally(SPEC, names)
    for one in batches:
        tally.add(one)
    tally.write(str(path))
    return WrittenTally(span, tuple(names), str(path))


def test_tokens_are_counted_by_span(tmp_path: Path) -> None:
    output = output_of(tmp_path, {"app": [b"a", b"b", b"c"], "weekday": [b"mo"], "installed_x_app": [b"ab", b"cb"]})
    files = [
        # 3 is of a token that the vocabulary lacks
        written(tmp_path / "0", 1, ["app", "installed_x_app"], batch([0, 3, 0], [2, 0, 3], [1, 1]), batch([], [], [])),
        written(tmp_path / "1", 2, ["weekday"], batch([3, 3], [3], [1])),
        written(tmp_path / "2", 1, ["app", "installed_x_app"], batch([2], [2], [0])),  # a further file of the span
        written(tmp_path / "3", 3, ["app"]),
    ]
    counts = {span: {n: dict(pairs) for n, pairs in of.items()} for span, of in counts_of_spans(files, output).items()}
    assert counts == {
        1: {"app": {b"a": 3, b"c": 3}, "installed_x_app": {b"ab": 1, b"cb": 2}},
        2: {"weekday": {b"mo": 2}},
        3: {"app": {}},
    }


def test_a_vocabulary_is_in_memory_once_for_all_spans(tmp_path: Path) -> None:
    size, num_spans = 20_000, 10
    output = output_of(tmp_path, {"app": (b"%06d" % i for i in range(size))})
    files = [written(tmp_path / str(span), span, ["app"], batch([span] * 3, [], [])) for span in range(num_spans)]
    tracemalloc.start()
    counts = counts_of_spans(files, output)
    in_use, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(counts) == num_spans
    assert in_use < size * (40 + 8 * num_spans)  # 6 bytes for a token of 6 bytes, and two times 8 for its place
