"""Columns have what plain Python reads of the examples, batch by batch, and what is measured of them is as by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.column_extractor import Parser
from components.evaluation.metrics.bootstrap import key_hash, unit_hash
from components.evaluation.metrics.calibration import calibration_buckets, calibration_sums
from components.evaluation.plan import Plan, make_plan
from components.evaluation.scoring.columns import Columns, FeatureValues, concatenated, members_of
from components.evaluation.tfma_config import eval_config
from tests.components.evaluation.executor_runs import example
from transform.config.evaluation import Evaluation, Threshold
from transform.errors import InputError

DTYPES = {
    "label": tf.int64,
    "weight": tf.float32,
    "user_id": tf.string,
    "request_id": tf.string,
    "country": tf.string,
    "tags": tf.string,
    "age_days": tf.float32,
}
ROWS: list[dict[str, Any]] = [
    {"label": 1, "weight": 2.0, "user_id": "u1", "request_id": "r1", "country": "us", "tags": ["new", "free", "new"]},
    {"label": 0, "weight": 0.5, "request_id": "r1", "age_days": 7.0, "tags": ["free"]},
    {"label": 0, "weight": 1.0, "country": "de", "age_days": 6.5},
]


def config_of(**sections: Any) -> config_pb2.EvalConfig:
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, slices=("country", "tags", "age_days < 7"), **sections)
    config = eval_config(evaluation, weighted=True, has_requests=True, user="user_id")
    return tfma.utils.update_eval_config_with_defaults(config, has_baseline=True, rubber_stamp=True)


def plan() -> Plan:
    return make_plan(config_of())


def columns(rows: list[dict[str, Any]]) -> Columns:
    """Returns the columns of rows; the first model scores 0.5, the second 0.25."""
    scorers = [lambda batch: np.full(len(batch), 0.5), lambda batch: np.full(len(batch), 0.25)]
    return Parser(plan(), DTYPES).columns(tf.constant([example(row) for row in rows]), scorers)


def members(found: Columns) -> dict[str, set[tuple[int, str]]]:
    """Returns, by slice, the pairs of a row and a value; no pair occurs twice."""
    result = {}
    for name, of_slice in found.slices.items():
        pairs = [(int(row), of_slice.values[value]) for row, value in zip(of_slice.row, of_slice.value, strict=True)]
        assert len(pairs) == len(set(pairs))
        result[name] = set(pairs)
    return result


EXPECTED = {
    "country": {(0, "us"), (2, "de")},
    "tags": {(0, "new"), (0, "free"), (1, "free")},
    "age_days < 7": {(1, "false"), (2, "true")},
}


def test_the_columns_are_the_examples_values() -> None:
    found = columns(ROWS)
    assert found.label.tolist() == [1, 0, 0]
    assert found.weight.tolist() == [2, 0.5, 1]
    assert found.score.tolist() == [[0.5, 0.25]] * 3
    # the first row by its user, the second by its request, the third by itself
    units = [unit_hash(key) for key in (b"user_id=u1", b"request_id=r1", example(ROWS[2]))]
    assert found.unit.tolist() == units
    groups = [key_hash(key) for key in (b"request_id=r1", b"request_id=r1", b"request_id")]
    assert found.group["request_id"].tolist() == groups
    assert members(found) == EXPECTED


def test_batches_are_put_together_in_their_order() -> None:
    whole, parts = columns(ROWS), concatenated([columns([row]) for row in ROWS])
    for name in ("unit", "label", "weight", "score"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_array_equal(parts.group["request_id"], whole.group["request_id"])
    assert members(parts) == EXPECTED


def test_an_example_takes_40_bytes_with_two_models_a_group_and_a_slice() -> None:
    found = columns(ROWS[:1])
    arrays = [found.unit, found.label, found.weight, found.score, *found.group.values()]
    country = found.slices["country"]
    assert sum(array.nbytes for array in [*arrays, country.row, country.value]) == 40


@pytest.mark.parametrize(("name", "value"), [("label", None), ("weight", None), ("label", [0, 1])])
def test_a_label_or_weight_that_is_not_one_value_is_refused(name: str, value: Any) -> None:
    row = {key: found for key, found in {**ROWS[0], name: value}.items() if found is not None}
    with pytest.raises(InputError, match=f"^every example must have one value of '{name}'. Received: [02] values of 1"):
        columns([row])


def test_a_value_that_is_not_utf_8_is_no_slice() -> None:
    broken = example({**ROWS[0], "country": "~~~"}).replace(b"~~~", b"\xff\xff\xff")
    with pytest.raises(InputError, match=r"^values of 'country' must be UTF-8 to be slices. Received: b'(\\xff){3}'"):
        Parser(plan(), DTYPES).columns(tf.constant([broken]), [lambda batch: np.zeros(len(batch))])


def test_a_feature_that_the_schema_lacks_is_named() -> None:
    with pytest.raises(InputError, match=r"Received: none named \['country'\]"):
        Parser(plan(), {name: dtype for name, dtype in DTYPES.items() if name != "country"})


@pytest.mark.parametrize("has_baseline", [True, False])
@pytest.mark.parametrize("has_requests", [True, False])
@pytest.mark.parametrize("by", ["user_id", None])
def test_all_that_a_config_asks_for_is_measured(has_baseline: bool, has_requests: bool, by: str | None) -> None:
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, slices=("country", "age_days < 7"), top_ks=(2,), gauc_by=by)
    config = eval_config(evaluation, weighted=False, has_requests=has_requests, user="user_id")
    found = make_plan(tfma.utils.update_eval_config_with_defaults(config, has_baseline=has_baseline, rubber_stamp=True))
    assert found.model_names == (("candidate", "baseline") if has_baseline else ("",))
    assert (found.label, found.weight, found.slices) == ("label", "", ("country", "age_days < 7"))
    assert found.unit_keys == (("user_id", "request_id") if has_requests else ("user_id",))
    assert set(found.rankings) == {*(["request_id"] if has_requests else []), *([by] if by else [])}


def test_the_buckets_of_a_calibration_plot() -> None:
    scores = np.array([-0.1, 0.0, 0.0015, 0.9999, 1.0, 1.5, np.nan])
    labels, weights = np.array([1.0, 0, 1, 1, 1, 0, 1]), np.array([1.0, 2, 3, 4, 5, 6, 7])
    buckets = calibration_buckets(calibration_sums(labels, weights, scores)).buckets
    assert len(buckets) == 1002
    found = {
        (b.lower_threshold_inclusive, b.upper_threshold_exclusive): (
            b.num_weighted_examples.value, b.total_weighted_label.value, b.total_weighted_refined_prediction.value
        )
        for b in buckets if b.num_weighted_examples.value
    }  # fmt: skip
    assert found == {
        (-np.inf, 0.0): (1, 1, -0.1),
        (0.0, 0.001): (2, 0, 0),
        (0.001, 0.002): (3, 3, pytest.approx(0.0045)),
        (0.999, 1.0): (4, 4, pytest.approx(3.9996)),
        (1.0, np.inf): (11, 5, 14),
    }


def test_a_slice_s_rows_are_right_for_many_values() -> None:
    """Row times value exceeds 32 bits: 4,000 rows have 600,000 distinct values, and the last row has a value twice."""
    value = np.arange(600_000)
    row_of = np.minimum(value // 150, 3_999)
    pairs = [*zip(row_of.tolist(), value.tolist(), strict=True), (3_999, 7), (3_999, 599_999)]
    place = [int(before == row) for (before, _), (row, _) in itertools.pairwise([(-1, 0), *pairs])]
    indices = np.stack([[a for a, _ in pairs], place], axis=1)
    found = members_of(FeatureValues(tf.SparseTensor(indices, [b for _, b in pairs], [4_000, 300])), "tags")
    assert found.values == tuple(range(600_000))
    assert sorted(zip(found.row.tolist(), found.value.tolist(), strict=True)) == sorted(set(pairs))
