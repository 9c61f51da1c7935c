"""The reference models: each one's scores, from the same rows in plain Python."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow_transform as tft
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tests.trainer.conftest import FIRST_APPS
from tests.trainer.small_deployment import Row, Span, make_config, make_rows, transform_span
from trainer.reference_models import References, _gradient_boosting, _tree_inputs, fit_references
from trainer.reference_rows import Columns, Rows
from trainer.training.setup import TrainingSetup, Window, prepare
from transform.files.reference_scores import REFERENCE_MODELS, read_reference_scores, write_reference_scores


def setup_of(span: Span) -> TrainingSetup:
    output = tft.TFTransformOutput(span.transform_output)
    return prepare(span.config, output, [span.train_files], [span.eval_files], None)


@pytest.fixture(scope="module")
def setup(first_span: Span) -> TrainingSetup:
    return setup_of(first_span)


@pytest.fixture(scope="module")
def fitted(setup: TrainingSetup) -> References:
    return fit_references(setup, "country")


@pytest.fixture(scope="module")
def train_rows() -> list[Row]:
    return make_rows(3000, FIRST_APPS, 1)  # as `first_span` has them


def test_the_constant_is_the_share_of_positives(fitted: References, train_rows: list[Row]) -> None:
    found = fitted.scored
    share = sum(row["label"][0] for row in train_rows) / 3000
    assert found.num_rows == 3000
    np.testing.assert_allclose(found.scores["constant"], np.full(600, share), rtol=1e-6)


def test_an_items_mean_is_drawn_to_the_share_of_all(
    fitted: References, first_span: Span, train_rows: list[Row]
) -> None:
    share = sum(row["label"][0] for row in train_rows) / 3000
    rows, positives = collections.Counter[str](), collections.Counter[str]()
    for row in train_rows:
        rows[row["app"][0]] += 1
        positives[row["app"][0]] += row["label"][0]
    means = {app: (positives[app] + 10 * share) / (rows[app] + 10) for app in rows}
    found = fitted.scored.scores["item_mean"]
    expected = sorted(means[row["app"][0]] for row in first_span.eval_rows)  # Beam keeps no order
    np.testing.assert_allclose(np.sort(found), expected, rtol=1e-6)


def scores_of(train: list[list[float]], rows: list[Row], given: list[list[float]]) -> np.ndarray:
    """The sorted scores of a logistic regression; Beam keeps no order."""
    model = LogisticRegression(max_iter=1000, tol=1e-8)
    model.fit(train, [row["label"][0] for row in rows])
    return np.sort(model.predict_proba(given)[:, 1])


def test_the_bias_of_user_and_item_is_a_logistic_regression_on_their_ids(
    fitted: References, first_span: Span, train_rows: list[Row]
) -> None:
    def inputs(row: Row) -> list[float]:
        return [float(row["app"][0] == app) for app in FIRST_APPS] + [float(row["country"][0] == c) for c in "abc"]

    expected = scores_of([inputs(r) for r in train_rows], train_rows, [inputs(r) for r in first_span.eval_rows])
    np.testing.assert_allclose(np.sort(fitted.scored.scores["user_item_bias"]), expected, rtol=0.01)


def test_the_logistic_regression_reads_each_feature(
    setup: TrainingSetup, fitted: References, first_span: Span, train_rows: list[Row]
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

    expected = scores_of([inputs(r) for r in train_rows], train_rows, [inputs(r) for r in first_span.eval_rows])
    np.testing.assert_allclose(np.sort(fitted.scored.scores["logistic_regression"]), expected, rtol=0.01)


def test_the_trees_read_mean_labels_without_the_rows_own(train_rows: list[Row]) -> None:
    """Of 300 ids, each with one row, a mean label that included the row's own would be its label."""
    rng = np.random.default_rng(1)
    label = (np.arange(300) % 2).astype(np.float32)
    number = rng.normal(size=300) + label  # what there is to learn
    ids = sparse.csr_matrix((np.ones(300), (np.arange(300), np.arange(300))), (300, 300))
    columns = [Columns(slice(0, 300), "id"), Columns(slice(300, 302), "number")]
    inputs = sparse.hstack([ids, sparse.csr_matrix(np.stack([number, np.zeros(300)], axis=1))], "csr")
    train = Rows(inputs, label, np.ones(300, np.float32))
    model = _gradient_boosting(train, columns)
    scores = model(train)
    assert 0.7 < roc_auc_score(label, scores) < 0.95  # by the number; 1 if it had learned the labels by heart


def test_an_empty_list_and_a_missing_number_are_missing_to_the_trees() -> None:
    inputs = sparse.csr_matrix([[1, 1, 0, 0.5, 0, 0, 1], [0, 0, 0, 0, 1, 1, 0]], dtype=np.float32)
    columns = [Columns(slice(0, 3), "ids"), Columns(slice(3, 5), "number"), Columns(slice(5, 7), "id")]
    rows = Rows(inputs, np.zeros(2, np.float32), np.ones(2, np.float32))
    found = _tree_inputs(rows, columns, {0: np.array([0.2, 0.4, 0.9])})
    np.testing.assert_allclose(found, [[0.3, 0.5, 1], [np.nan, np.nan, 0]], rtol=1e-6)


def test_the_trees_learn_what_goes_together(setup: TrainingSetup, fitted: References) -> None:
    """A user acquires an app whose partner is installed: beyond the biases, little beyond a list's mean label."""
    label, scores = fitted.scored.label, fitted.scored.scores
    assert roc_auc_score(label, scores["gradient_boosting"]) > roc_auc_score(label, scores["user_item_bias"]) + 0.1


@pytest.mark.slow
def test_with_one_label_there_is_no_logistic_regression_and_without_an_item_id_no_item_mean(tmp_path: Path) -> None:
    rows = make_rows(60, FIRST_APPS, 3)
    for row in rows:
        row["label"] = [0]
    country = {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}}
    log = {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}
    config = make_config(features=[country], crosses=[], sources={"impressions": log})
    rows = [{name: row[name] for name in ("country", "label", "request_id")} for row in rows]
    found = fit_references(setup_of(transform_span(config, rows, rows[:7], tmp_path)), None)
    assert {name: scores.tolist() for name, scores in found.scored.scores.items()} == {"constant": [0.0] * 7}
    assert found.left_out == {
        "item_mean": "the config names no id of the item",
        "user_item_bias": "the config names no id of the user",
        "logistic_regression": "the training rows have one label",
        "gradient_boosting": "the training rows have 0 of one label, fewer than 20",
    }


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

    expected = scores_of([inputs(r) for r in train_rows], train_rows, [inputs(r) for r in first_span.eval_rows])
    found = fit_references(setup, "country")
    assert set(found.scored.scores) == {"constant", "logistic_regression", "gradient_boosting"}
    assert found.left_out["user_item_bias"] == "the model does not read the user's id, `country`"
    np.testing.assert_allclose(np.sort(found.scored.scores["logistic_regression"]), expected, rtol=0.01)


@pytest.mark.slow
def test_a_model_of_a_cross_alone_has_a_constant_only(tmp_path: Path) -> None:
    app = {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}, "parts": []}
    cross = {"features": ["app", "price"], "num_hash_buckets": 50}
    config = make_config(features=[app, {**PRICE, "parts": []}], crosses=[cross], model={"parts": "wide"})
    rows = make_rows(40, FIRST_APPS, 5)
    found = fit_references(setup_of(transform_span(config, rows, rows, tmp_path)), None)
    assert set(found.scored.scores) == {"constant"}
    assert found.left_out["item_mean"] == "the model does not read the item's id, `app`"
    assert found.left_out["logistic_regression"] == "the model reads no feature but in crosses or counts"
    assert found.left_out["gradient_boosting"] == "the model reads no feature but in crosses or counts"


def test_with_too_many_values_there_are_no_trees(setup: TrainingSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.reference_models.MAX_NUMBERS", 11_999)
    left_out = fit_references(setup, "country").left_out
    assert left_out == {"gradient_boosting": "the training rows have 12,000 values, more than 11,999"}


def test_of_each_file_the_first_rows_are_read(setup: TrainingSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.reference_models.MAX_ROWS", 101)
    assert fit_references(setup, None).scored.num_rows == 2 * 50  # of two files


def test_without_a_row_to_evaluate_there_are_no_scores(setup: TrainingSetup) -> None:
    window = Window(setup.window.train_files, (), setup.window.withheld)
    found = fit_references(dataclasses.replace(setup, window=window), "country").scored
    assert {name: scores.tolist() for name, scores in found.scores.items()} == {name: [] for name in REFERENCE_MODELS}


def test_scores_are_read_as_they_were_written(fitted: References, tmp_path: Path) -> None:
    assert read_reference_scores(str(tmp_path)) is None
    found = fitted.scored
    write_reference_scores(found, str(tmp_path))
    read = read_reference_scores(str(tmp_path))
    assert read is not None
    assert read.num_rows == 3000
    np.testing.assert_array_equal(read.label, found.label)
    assert list(read.scores) == list(REFERENCE_MODELS)
    for name in REFERENCE_MODELS:
        np.testing.assert_array_equal(read.scores[name], found.scores[name])
