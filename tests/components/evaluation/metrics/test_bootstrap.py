"""The bootstrap draws paired, reproducible Poisson weights, and replicates have the metrics of their weights."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import (
    HASH_BITS,
    NUM_REPLICATES,
    replicate_weights,
    standard_errors,
    unit_hash,
)
from tests.components.evaluation.metrics import plain


def hashes(number: int) -> np.ndarray:
    return np.array([unit_hash(f"request {i}".encode()) for i in range(number)])


def test_a_hash_is_a_whole_number_that_a_double_holds() -> None:
    found = hashes(1000)
    assert len(set(found)) == 1000
    assert found.max() < 2**HASH_BITS
    assert found.max() > 2 ** (HASH_BITS - 1)
    assert (found.astype(float).astype(np.int64) == found).all()


def test_weights_are_independent_poisson_draws_of_mean_1() -> None:
    weights = replicate_weights(hashes(20_000), range(51))
    assert weights.shape == (20_000, 51)
    assert (weights[:, 0] == 1).all()
    drawn = weights[:, 1:]
    for n in range(6):  # 1,000,000 draws: a share's standard error is at most 0.0005
        assert np.mean(drawn == n) == pytest.approx(math.exp(-1) / math.factorial(n), abs=0.002)
    of_replicates, of_units = np.corrcoef(drawn, rowvar=False), np.corrcoef(drawn[:500])
    for correlations in (of_replicates, of_units):
        others = correlations[~np.eye(len(correlations), dtype=bool)]
        assert abs(others.mean()) < 0.002
    assert abs(of_replicates - np.eye(50)).max() < 0.04  # each has a standard error of 0.007


def test_weights_depend_on_the_unit_and_the_replicate_alone() -> None:
    units = hashes(100)
    weights = replicate_weights(units, range(21))
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(replicate_weights(units[order], range(21)), weights[order])
    np.testing.assert_array_equal(replicate_weights(units, range(5, 9)), weights[:, 5:9])
    np.testing.assert_array_equal(replicate_weights(units.astype(float), range(21)), weights)


def test_a_standard_error_is_the_standard_deviation_of_the_replicates() -> None:
    values = [0.1, 0.11, 0.08, 0.11, 0.10]  # of the data, then of four replicates
    mean = sum(values[1:]) / 4
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values[1:]) / 3)
    assert standard_errors(np.array(values)) == pytest.approx(deviation, rel=1e-12)


def test_replicates_without_the_metric_are_left_out_but_not_most_of_them() -> None:
    values = np.array([0.7, 0.72, 0.68, np.nan, np.nan])
    assert standard_errors(values) == pytest.approx(math.sqrt(2 * 0.02**2), rel=1e-12)
    values[2] = np.nan
    assert np.isnan(standard_errors(values))
    assert np.isnan(standard_errors(np.array([np.nan, 0.7, 0.6, 0.7, 0.6])))


Row = tuple[int, int, float, float, float]


def rows(number: int, seed: int) -> list[Row]:
    """Returns rows of request, label, weight and both scores; the scores have 25 distinct values, so many are tied."""
    draw = random.Random(seed)
    scores = [1 / (1 + math.exp(-logit * 24 / 4096 * 40 - 12 / 4096)) for logit in range(-12, 13)]
    requests = [draw.randint(0, number // 4) for _ in range(number)]
    found: list[Row] = []
    for request in requests:
        label, weight = int(draw.random() < 0.3), float(draw.randint(1, 3))
        first, second = draw.choices(scores, k=2)
        found.append((request, label, weight, first, second))
    return found


def columns(found: Sequence[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns units, labels, weights and both scores."""
    units = np.array([float(unit_hash(str(row[0]).encode())) for row in found])
    labels, weights = (np.array([row[i] for row in found], float) for i in (1, 2))
    return units, labels, weights, np.array([row[3:] for row in found])


def test_each_replicate_has_the_metrics_of_its_rows_as_often_as_it_draws_them() -> None:
    found = rows(150, seed=1)
    values = replicates.of_rows(*columns(found))
    weights = replicate_weights(columns(found)[0], range(6))
    for replicate in range(6):
        of_rows = [w * row[2] for w, row in zip(weights[:, replicate], found, strict=True)]
        labels = [row[1] for row in found]
        for model in (0, 1):
            scores = [row[3 + model] for row in found]
            losses = [-math.log(s if label else 1 - s) for label, s in zip(labels, scores, strict=True)]
            sums = [
                sum(w * x for w, x in zip(of_rows, column, strict=True))
                for column in (losses, scores, labels, [1.0] * len(labels))
            ]
            hits = [w * ((s >= 0.5) == bool(label)) for w, s, label in zip(of_rows, scores, labels, strict=True)]
            expected = {
                "auc": plain.auc(labels, scores, of_rows),
                "logloss": sums[0] / sums[3],
                "accuracy": sum(hits) / sums[3],
                "calibration_error": calibration_error(found, model, of_rows),
                "calibration": sums[1] / sums[2],
                "mean_prediction": sums[1] / sums[3],
                "mean_label": sums[2] / sums[3],
            }
            assert {*expected, "auc_pr"} == set(replicates.ROW_METRICS)
            for name, value in expected.items():
                assert values[name][replicate, model] == pytest.approx(value, rel=1e-12), name
            area = area_under_precision_recall(labels, scores, of_rows)
            assert values["auc_pr"][replicate, model] == pytest.approx(area, rel=1e-6)


def calibration_error(found: Sequence[Row], model: int, drawn: Sequence[float]) -> float:
    """The bins are those of the data; `drawn` are the rows' weights in a replicate."""
    scores, weights = [row[3 + model] for row in found], [row[2] for row in found]
    residuals = [0.0] * 20
    for row, score, weight in zip(found, scores, drawn, strict=True):
        below = sum(w for s, w in zip(scores, weights, strict=True) if s < score)
        residuals[int(20 * below / sum(weights))] += weight * (score - row[1])
    return sum(map(abs, residuals)) / sum(drawn)


def area_under_precision_recall(labels: list[int], scores: list[float], weights: list[float]) -> float:
    """Integrates in 4,000 steps; true and false positives are linear between two thresholds (Davis and Goadrich)."""
    steps, area, true, false = 4000, 0.0, 0.0, 0.0
    positives = sum(w for label, w in zip(labels, weights, strict=True) if label)
    for threshold in sorted(set(scores), reverse=True):
        tied = [(label, w) for label, s, w in zip(labels, scores, weights, strict=True) if s == threshold]
        more_true, more_false = sum(w for label, w in tied if label), sum(w for label, w in tied if not label)
        for i in range(steps if more_true else 0):
            part = (i + 0.5) / steps
            t, f = true + part * more_true, false + part * more_false
            area += t / (t + f) * more_true / steps / positives
        true, false = true + more_true, false + more_false
    return area


def test_the_metrics_do_not_depend_on_how_many_replicates_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = columns(rows(300, seed=2))
    groups = np.random.default_rng(0).random((2, 300, 3))
    at_once = replicates.of_rows(*found), replicates.means_of(replicates.sums_of_groups(found[0], *groups))
    monkeypatch.setattr(replicates, "_BLOCK_ENTRIES", 900)  # three replicates of 300 rows
    in_blocks = replicates.of_rows(*found), replicates.means_of(replicates.sums_of_groups(found[0], *groups))
    for name, values in at_once[0].items():
        np.testing.assert_allclose(in_blocks[0][name], values, rtol=1e-12)
    np.testing.assert_allclose(in_blocks[1], at_once[1], rtol=1e-12)


def test_the_mean_of_groups_draws_all_groups_of_a_unit_together() -> None:
    units = np.array([5.0, 5.0, 9.0])
    values, weights = np.array([0.2, 0.6, 1.0]), np.array([1.0, 3.0, 2.0])
    found = replicates.means_of(replicates.sums_of_groups(units, values, weights))
    drawn = replicate_weights(np.array([5, 9]), range(1 + NUM_REPLICATES))
    for replicate in range(1 + NUM_REPLICATES):
        first, second = drawn[:, replicate]
        total = first * (1 + 3) + second * 2
        mean = (first * (0.2 * 1 + 0.6 * 3) + second * 1.0 * 2) / total if total else math.nan
        assert found[replicate] == pytest.approx(mean, rel=1e-12, nan_ok=True)


def test_scores_at_the_ends_and_scores_that_are_none() -> None:
    scores = np.array([[1.0, math.nan], [0.0, 0.5]])
    values = replicates.of_rows(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.ones(2), scores)
    assert values["auc"][0, 0] == 1
    assert values["logloss"][0, 0] == pytest.approx(1e-7, rel=1e-3)
    assert all(np.isnan(of_metric[0, 1]) for of_metric in values.values())


def test_accuracy_counts_a_score_at_the_threshold_as_a_prediction_of_label_1() -> None:
    labels, scores = np.array([1.0, 0.0, 0.0, 1.0]), np.array([[0.3], [0.3], [0.2], [0.1]])
    values = replicates.of_rows(np.arange(4.0), labels, np.array([1.0, 2.0, 3.0, 4.0]), scores, accuracy_threshold=0.3)
    assert values["accuracy"][0, 0] == pytest.approx((1 + 3) / 10)


def test_rows_of_one_score_are_in_one_bin_of_the_calibration_error() -> None:
    """Over-predictions and under-predictions of the same score cancel out; those of different scores do not."""
    labels = np.array([0.0, 1.0] * 50)
    of_one_score = replicates.of_rows(np.arange(100.0), labels, np.ones(100), np.full((100, 1), 0.5))
    assert of_one_score["calibration_error"][0, 0] == pytest.approx(0)
    of_two = replicates.of_rows(np.arange(100.0), labels, np.ones(100), np.where(labels == 1, 0.3, 0.4)[:, None])
    assert of_two["calibration_error"][0, 0] == pytest.approx((0.7 + 0.4) / 2)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_auc(label: float) -> None:
    values = replicates.of_rows(np.arange(9.0), np.full(9, label), np.ones(9), np.full((9, 2), 0.5))
    assert np.isnan(values["auc"]).all()
    assert np.isnan(values["auc_pr"]).all()
    assert not np.isnan(values["logloss"][0]).any()
