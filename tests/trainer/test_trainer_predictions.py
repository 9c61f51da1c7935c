"""The trainer's own scores of logged rows, of rows that the log may lack, and of transformed examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.small_deployment import Span, make_config, make_rows, to_example, transform_span
from trainer.signatures import export_model
from trainer.trainer_predictions import changed_rows, trainer_predictions
from trainer.training.data import expand_patterns, read_records
from trainer.training.setup import TrainingSetup, prepare
from transform.files.trainer_predictions import TrainerPredictions, read_trainer_predictions

NUM_ROWS = 40


@pytest.fixture(scope="module")
def prepared(first_span: Span) -> TrainingSetup:
    output = tft.TFTransformOutput(first_span.transform_output)
    model = prepare(first_span.config, output, [first_span.train_files], [first_span.eval_files], None)
    rng = np.random.default_rng(1)
    for variable in (model.model.bias, *model.model.wide_variables, *model.model.deep_variables):
        variable.assign(rng.normal(scale=0.5, size=variable.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def own(first_span: Span, prepared: TrainingSetup, raw_files: str) -> TrainerPredictions:
    output = tft.TFTransformOutput(first_span.transform_output)
    return trainer_predictions(prepared, output, [raw_files], NUM_ROWS)


def test_rows_are_the_first_logged_ones_and_as_many_changed_ones(first_span: Span, own: TrainerPredictions) -> None:
    assert len(own.rows) == 2 * NUM_ROWS == own.row_scores.size
    logged = [to_example(row, without=("label",)) for row in first_span.eval_rows[:NUM_ROWS]]
    assert [tf.train.Example.FromString(row) for row in own.rows[:NUM_ROWS]] == [
        tf.train.Example.FromString(row) for row in logged
    ]
    assert not any("label" in tf.train.Example.FromString(row).features.feature for row in own.rows)


def test_a_logged_row_scores_as_its_transformed_example(
    first_span: Span, prepared: TrainingSetup, raw_files: str, own: TrainerPredictions
) -> None:
    output = tft.TFTransformOutput(first_span.transform_output)
    scores = trainer_predictions(prepared, output, [raw_files], len(first_span.eval_rows))
    assert own.eval_scores.size == len(first_span.eval_rows) == 600
    assert (np.diff(own.eval_scores) >= 0).all()
    np.testing.assert_allclose(np.sort(scores.row_scores[:600]), own.eval_scores, atol=1e-6)


@pytest.mark.slow
def test_the_exported_model_scores_logged_examples_by_the_counts_known_before_and_requests_by_all(
    tmp_path: Path,
) -> None:
    """With two spans: the trainer's scores of the last span's evaluation rows, and of the same rows as requests."""
    counts = [{"features": ["country", "app"]}, {"features": ["app"], "parts": ["wide"]}]
    config = make_config(count_encodings=counts)
    rows = make_rows(1200, [f"app{i}" for i in range(5)], seed=3)
    for i, row in enumerate(rows):
        row |= {"span": [i % 2], "fold": [i // 2 % 8], "shares_label": [int(i < 1000 and i % 10 in (0, 1))]}
    span = transform_span(config, rows[:1000], rows[1000:], tmp_path)
    files: dict[str, list[bytes]] = {}
    for split in ("train", "eval"):  # tf.Transform writes each span's examples to separate files
        for record in read_records(expand_patterns([getattr(span, f"{split}_files")])).as_numpy_iterator():
            number = tf.train.Example.FromString(record).features.feature["span"].int64_list.value[0]
            files.setdefault(str(tmp_path / f"{split}-{number}"), []).append(record)
    for path, records in files.items():
        with tf.io.TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
    output = tft.TFTransformOutput(span.transform_output)
    prepared = prepare(config, output, [str(tmp_path / "train-*")], [str(tmp_path / "eval-*")], None)
    rng = np.random.default_rng(1)
    for variable in (*prepared.model.wide_variables, *prepared.model.deep_variables):
        variable.assign(rng.normal(scale=0.5, size=variable.shape).astype(np.float32))
    # The first span's evaluation rows are trained on. One in five of the last span's training rows shares its label
    # with an evaluation row.
    assert prepared.label_counts.total == 1000 + 100 - 100
    assert prepared.label_counts.withheld == 100
    assert sum(len(labels) for _, labels, _ in prepared.train_data(1)) == 1000
    assert sum(len(labels) for _, labels, _ in prepared.eval_data) == 100

    raw = tmp_path / "raw.gz"
    logged = [to_example(row) for row in rows[1000:] if row["span"] == [1]]
    with tf.io.TFRecordWriter(str(raw), "GZIP") as writer:
        for record in logged:
            writer.write(record)
    own = trainer_predictions(prepared, output, [str(raw)], num_rows=20)
    export_model(prepared.model, output, config, str(tmp_path / "model"), counts=prepared.counts)
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    as_logged = signature(examples=tf.constant(logged))["scores"].numpy()
    np.testing.assert_allclose(np.sort(as_logged), own.eval_scores, atol=1e-6)
    as_requests = signature(examples=tf.constant(own.rows))["scores"].numpy()
    np.testing.assert_allclose(as_requests, own.row_scores, atol=1e-6)
    assert np.abs(as_requests[:20] - as_logged[:20]).max() > 0.01  # a request sees more counts
    assert not any("span" in tf.train.Example.FromString(row).features.feature for row in own.rows)


def test_every_feature_is_once_missing_never_seen_and_unusual() -> None:
    spec = make_config().spec
    row = to_example({"app": ["app1"], "installed": ["app2", "app3"], "price": [2.5], "country": ["a"]})
    changed = [tf.train.Example.FromString(r).features.feature for r in changed_rows([row] * 13, spec)]
    values = [
        {name: list(f.bytes_list.value or f.float_list.value) for name, f in features.items()} for features in changed
    ]
    same = {"app": [b"app1"], "installed": [b"app2", b"app3"], "price": [2.5], "country": [b"a"]}
    largest = float(np.finfo(np.float32).max)
    new = b"\x00never seen"
    changes: list[dict[str, list[object]]] = [
        {"app": []}, {"installed": []}, {"price": []}, {"country": []},
        {"app": [new]}, {"installed": [new]}, {"price": [largest]}, {"country": [new]},
        {"app": [b""]}, {"installed": [b"app2", b"app3", new, b"app2", b"app3"]}, {"price": [-largest]},
        {"country": [b""]},
    ]  # fmt: skip
    assert values == [*({**same, **change} for change in changes), {}]


def test_no_rows_no_changed_rows() -> None:
    assert list(changed_rows([], make_config().spec)) == []


@pytest.mark.slow
def test_they_lie_beside_the_model(first_model: Path) -> None:
    found = read_trainer_predictions(str(first_model))
    assert found is not None
    signature = tf.saved_model.load(str(first_model / "Format-Serving")).signatures["serving_default"]
    np.testing.assert_allclose(signature(tf.constant(found.rows))["scores"], found.row_scores, atol=1e-6)
    assert found.row_scores.std() > 0
    assert found.eval_scores.size == 600
    assert len(found.rows) == 2 * 500  # the default of `skew.num_rows`


def test_a_model_may_have_none(tmp_path: Path) -> None:
    assert read_trainer_predictions(str(tmp_path)) is None
