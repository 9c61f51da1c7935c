"""The reference models: each one's scores, from the same rows in plain Python."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow_transform as tft
from sklearn.linear_model import LogisticRegression

from tests.trainer.conftest import FIRST_APPS
from tests.trainer.small_deployment import Row, Span, make_config, make_rows, transform_span
from trainer.reference_models import reference_scores
from trainer.training.setup import TrainingSetup, Window, prepare
from transform.files.reference_scores import REFERENCE_MODELS, read_reference_scores, write_reference_scores


def setup_of(span: Span) -> TrainingSetup:
    output = tft.TFTransformOutput(span.transform_output)
    return prepare(span.config, output, [span.train_files], [span.eval_files], None)


@pytest.fixture(scope="module")
def setup(first_span: Span) -> TrainingSetup:
    return setup_of(first_span)


@pytest.fixture(scope="module")
def train_rows() -> list[Row]:
    return make_rows(3000, FIRST_APPS, 1)  # as `first_span` has them


def test_the_constant_is_the_share_of_positives(setup: TrainingSetup, train_rows: list[Row]) -> None:
    found = reference_scores(setup)
    share = sum(row["label"][0] for row in train_rows) / 3000
    assert found.num_rows == 3000
    np.testing.assert_allclose(found.scores["constant"], np.full(600, share), rtol=1e-6)


def test_an_items_mean_is_drawn_to_the_share_of_all(
    setup: TrainingSetup, first_span: Span, train_rows: list[Row]
) -> None:
    share = sum(row["label"][0] for row in train_rows) / 3000
    rows, positives = collections.Counter[str](), collections.Counter[str]()
    for row in train_rows:
        rows[row["app"][0]] += 1
        positives[row["app"][0]] += row["label"][0]
    means = {app: (positives[app] + 10 * share) / (rows[app] + 10) for app in rows}
    found = reference_scores(setup).scores["item_mean"]
    expected = sorted(means[row["app"][0]] for row in first_span.eval_rows)  # Beam keeps no order
    np.testing.assert_allclose(np.sort(found), expected, rtol=1e-6)


def test_the_logistic_regression_reads_each_feature(
    setup: TrainingSetup, first_span: Span, train_rows: list[Row]
) -> None:
    boundaries = setup.transform_state.boundaries["price"]

    def inputs(row: Row) -> list[float]:
        apps = [float(row["app"][0] == app) for app in FIRST_APPS]
        installed = [float(app in row["installed"]) for app in FIRST_APPS]
        countries = [float(row["country"][0] == country) for country in "abc"]
        if not row["price"]:
            return [*apps, *installed, *countries, 0.0, 1.0]
        quantile = int(np.searchsorted(boundaries, np.float32(row["price"][0]), side="right"))
        return [*apps, *installed, *countries, quantile / 3, 0.0]

    model = LogisticRegression(max_iter=1000, tol=1e-8)
    model.fit([inputs(row) for row in train_rows], [row["label"][0] for row in train_rows])
    expected = model.predict_proba([inputs(row) for row in first_span.eval_rows])[:, 1]
    found = reference_scores(setup).scores["logistic_regression"]
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=0.01)


@pytest.mark.slow
def test_with_one_label_there_is_no_logistic_regression_and_without_an_item_id_no_item_mean(tmp_path: Path) -> None:
    rows = make_rows(60, FIRST_APPS, 3)
    for row in rows:
        row["label"] = [0]
    country = {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}}
    log = {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}
    config = make_config(features=[country], crosses=[], sources={"impressions": log})
    rows = [{name: row[name] for name in ("country", "label", "request_id")} for row in rows]
    found = reference_scores(setup_of(transform_span(config, rows, rows[:7], tmp_path)))
    assert set(found.scores) == {"constant"}
    assert found.scores["constant"].tolist() == [0.0] * 7


PRICE = {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4}


def test_a_number_that_the_wide_part_alone_reads_has_a_column_for_each_quantile(
    first_span: Span, train_rows: list[Row]
) -> None:
    config = make_config(features=[PRICE], crosses=[], model={"parts": "wide"})
    setup = setup_of(dataclasses.replace(first_span, config=config))
    boundaries = setup.transform_state.boundaries["price"]

    def inputs(row: Row) -> list[float]:
        price = row["price"]
        quantile = int(np.searchsorted(boundaries, np.float32(price[0]), side="right")) if price else 4
        return [float(number == quantile) for number in range(5)]

    model = LogisticRegression(max_iter=1000, tol=1e-8)
    model.fit([inputs(row) for row in train_rows], [row["label"][0] for row in train_rows])
    expected = model.predict_proba([inputs(row) for row in first_span.eval_rows])[:, 1]
    found = reference_scores(setup).scores
    assert set(found) == {"constant", "logistic_regression"}
    np.testing.assert_allclose(np.sort(found["logistic_regression"]), np.sort(expected), rtol=0.01)


@pytest.mark.slow
def test_a_model_of_a_cross_alone_has_a_constant_only(tmp_path: Path) -> None:
    app = {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}, "parts": []}
    cross = {"features": ["app", "price"], "num_hash_buckets": 50}
    config = make_config(features=[app, {**PRICE, "parts": []}], crosses=[cross], model={"parts": "wide"})
    rows = make_rows(40, FIRST_APPS, 5)
    assert set(reference_scores(setup_of(transform_span(config, rows, rows, tmp_path))).scores) == {"constant"}


def test_of_each_file_the_first_rows_are_read(setup: TrainingSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.reference_models.MAX_ROWS", 101)
    assert reference_scores(setup).num_rows == 2 * 50  # of two files


def test_without_a_row_to_evaluate_there_are_no_scores(setup: TrainingSetup) -> None:
    window = Window(setup.window.train_files, (), setup.window.withheld)
    found = reference_scores(dataclasses.replace(setup, window=window))
    assert {name: scores.tolist() for name, scores in found.scores.items()} == {name: [] for name in REFERENCE_MODELS}


def test_scores_are_read_as_they_were_written(setup: TrainingSetup, tmp_path: Path) -> None:
    assert read_reference_scores(str(tmp_path)) is None
    found = reference_scores(setup)
    write_reference_scores(found, str(tmp_path))
    read = read_reference_scores(str(tmp_path))
    assert read is not None
    assert read.num_rows == 3000
    np.testing.assert_array_equal(read.label, found.label)
    assert list(read.scores) == list(REFERENCE_MODELS)
    for name in REFERENCE_MODELS:
        np.testing.assert_array_equal(read.scores[name], found.scores[name])
