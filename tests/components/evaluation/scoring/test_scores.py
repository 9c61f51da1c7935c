"""The scores and columns of raw examples, compared with plain values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.evaluation.scoring import scores as module
from components.evaluation.scoring.scores import ScoringError, compute_scores, read_rows
from tests.components.saved_models import example, export


def batch(*xs: float) -> tf.Tensor:
    return tf.constant([example(x, label=1) for x in xs])


def write(folder: Path, rows: list[dict[str, Any]], files: int = 2) -> str:
    """Writes rows as a split's files, in order; a value is a list of bytes, floats or ints."""
    folder.mkdir()
    per_file = math.ceil(len(rows) / files)
    for number in range(files):
        path = str(folder / f"data-{number}.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for row in rows[number * per_file : (number + 1) * per_file]:
                record = tf.train.Example()
                for name, values in row.items():
                    feature = record.features.feature[name]
                    kinds = {bytes: feature.bytes_list, float: feature.float_list, int: feature.int64_list}
                    kinds[type(values[0])].value.extend(values)
                writer.write(record.SerializeToString())
    return str(folder)


def test_a_unit_is_the_first_key_that_a_row_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    rows: list[dict[str, Any]] = [
        {"label": [1], "weight": [2.5], "user": [b"a"], "request_id": [b"r1"]},
        {"label": [0], "request_id": [b"a"]},  # a request that is named as a user
        {"label": [1], "user": [b"b", b"a"], "request_id": [b"r1"]},
        {"label": [0], "user": [b""]},
        {"label": [1], "user": [b"a"], "request_id": [b"r2"]},
        {"label": [0], "request_id": [b"a"]},
        {"label": [0], "request_id": [b"a\0"]},
        {"label": [0]},
    ]
    found = read_rows(write(tmp_path / "Split-eval", rows), ["user", "request_id"])
    assert found.label.tolist() == [1, 0, 1, 0, 1, 0, 0, 0]
    assert found.weight.tolist() == [2.5, 1, 1, 1, 1, 1, 1, 1]
    _, first = np.unique(found.unit, return_inverse=True)
    same = [[i for i, other in enumerate(first) if other == unit] for unit in first]
    assert same == [[0, 4], [1, 5], [2], [3], [0, 4], [1, 5], [6], [7]]


def test_the_rows_of_a_slice_are_those_that_have_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    rows: list[dict[str, Any]] = [
        {"label": [1], "tags": [b"new", b"free", b"new"], "age_days": [7.0], "price": [0.5]},
        {"label": [0], "age_days": [6.5]},
        {"label": [0], "tags": [b"free"], "price": [0.5]},
    ]
    slices = {"tags": tf.string, "age_days < 7": tf.float32, "price": tf.float32}
    found = read_rows(write(tmp_path / "Split-eval", rows), ["tags"], slices)
    assert {name: of_slice.tolist() for name, of_slice in found.slices.items()} == {
        "tags = new": [0],
        "tags = free": [0, 2],
        "age_days < 7": [1],
        "age_days ≥ 7": [0],
        "price = 0.5": [0, 2],
    }


def test_no_examples_are_no_rows(tmp_path: Path) -> None:
    found = read_rows(write(tmp_path / "Split-eval", []), ["country"], {"country": tf.string})
    assert (len(found.label), len(found.unit), found.slices) == (0, 0, {})


def test_scores_are_the_model_s_in_the_order_of_the_rows(tmp_path: Path) -> None:
    path = str(export("good", tmp_path) / "Format-Serving")
    xs = [-1.0, 0.0, 3.0]
    found = compute_scores(path, [batch(*xs[:2]), batch(*xs[2:])])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [1 / (1 + math.exp(-x)) for x in xs], rtol=1e-6)
    assert compute_scores(path, []).shape == (0,)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("other input", "the model cannot score the rows: "),
        ("renamed signature", "the model cannot score the rows: 'serving_default'"),
        ("no graph", "the model cannot score the rows: "),
        ("damaged graph", "the model cannot score the rows: "),
        ("no restoring", "the model cannot score the rows: the graph has no operation 'save/restore' "),
        ("nan", "scores must be finite. Received: others, of 1 rows"),
    ],
)
def test_a_model_that_cannot_score_the_rows_says_so(kind: str, says: str, tmp_path: Path) -> None:
    path = str(export(kind, tmp_path) / "Format-Serving")
    with pytest.raises(ScoringError) as caught:
        compute_scores(path, [batch(2.0)])
    assert str(caught.value).startswith(says)
    assert str(caught.value).endswith(f"({path})")


@pytest.mark.slow
def test_a_lack_of_memory_is_not_taken_for_a_model_that_cannot_score_the_rows(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError):
        compute_scores(str(export("out of memory", tmp_path) / "Format-Serving"), [batch(2.0)])


def test_a_model_whose_variables_are_cut_off_says_so(tmp_path: Path) -> None:
    path = export("good", tmp_path) / "Format-Serving"
    (data,) = (path / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ScoringError, match=r"^the model cannot score the rows: Read less bytes than requested "):
        compute_scores(str(path), [batch(2.0)])
