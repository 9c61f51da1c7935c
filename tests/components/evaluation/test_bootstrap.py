"""The bootstrap draws what it says, paired and however the data is bundled, and its interval covers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from tensorflow_model_analysis.metrics.metric_types import MetricKey

from components.evaluation.bootstrap import HASH_BITS, change_interval, replicate_weights, unit_hash
from components.evaluation.ranking import Measure
from components.evaluation.replicates import ROW_METRICS, MeanOfGroups, RowMetrics
from tests.components.evaluation import plain
from tests.components.evaluation.test_ranking_metrics import combined

KEYS = {name: MetricKey(name) for name in ROW_METRICS}


def hashes(number: int) -> np.ndarray:
    return np.array([unit_hash(f"request {i}".encode()) for i in range(number)])


def test_a_hash_is_a_whole_number_that_a_double_holds() -> None:
    found = hashes(1000)
    assert len(set(found)) == 1000
    assert found.max() < 2**HASH_BITS
    assert found.max() > 2 ** (HASH_BITS - 1)
    assert (found.astype(float).astype(np.int64) == found).all()


def test_weights_are_independent_poisson_draws_of_mean_1() -> None:
    weights = replicate_weights(hashes(20_000), 50)
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
    weights = replicate_weights(units, 20)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(replicate_weights(units[order], 20), weights[order])
    np.testing.assert_array_equal(replicate_weights(units, 5), weights[:, :6])
    np.testing.assert_array_equal(replicate_weights(units.astype(float), 20), weights)


def test_the_interval_is_the_change_and_two_standard_deviations_of_its_replicates() -> None:
    candidate, baseline = [0.7, 0.72, 0.68, 0.71, 0.69], [0.6, 0.61, 0.6, 0.6, 0.59]
    changes = [0.11, 0.08, 0.11, 0.10]
    mean = sum(changes) / 4
    deviation = math.sqrt(sum((c - mean) ** 2 for c in changes) / 3)
    low, high = change_interval(np.array([candidate, baseline]).T)
    assert low == pytest.approx(0.1 - 1.96 * deviation, abs=1e-5)
    assert high == pytest.approx(0.1 + 1.96 * deviation, abs=1e-5)


def test_replicates_without_the_metric_are_left_out_but_not_most_of_them() -> None:
    values = np.array([[0.7, 0.6], [0.72, 0.61], [0.68, 0.6], [np.nan, np.nan], [np.nan, np.nan]])
    assert np.isfinite(change_interval(values)).all()
    values[2] = np.nan
    assert np.isnan(change_interval(values)).all()


Row = tuple[int, int, float, float, float]


def rows(number: int, seed: int) -> list[Row]:
    """Of request, label, weight and both scores; the scores lie in the middle of their buckets, many of them ties."""
    draw = random.Random(seed)
    scores = [1 / (1 + math.exp(-logit * 24 / 4096 * 40 - 12 / 4096)) for logit in range(-12, 13)]
    requests = [draw.randint(0, number // 4) for _ in range(number)]
    return [(r, int(draw.random() < 0.3), float(draw.randint(1, 3)), *draw.choices(scores, k=2)) for r in requests]


def hashed(found: Sequence[Row]) -> list[tuple[float, ...]]:
    return [(float(unit_hash(str(request).encode())), *rest) for request, *rest in found]


def test_each_replicate_has_the_metrics_of_its_rows_as_often_as_it_draws_them() -> None:
    found = rows(150, seed=1)
    values = combined(RowMetrics(KEYS, 5), hashed(found), random.Random(0))
    weights = replicate_weights(np.array([unit_hash(str(r[0]).encode()) for r in found]), 5)
    for replicate in range(6):
        of_rows = [w * row[2] for w, row in zip(weights[:, replicate], found, strict=True)]
        labels = [row[1] for row in found]
        for model in (0, 1):
            scores = [row[3 + model] for row in found]
            assert values[KEYS["auc"]][replicate, model] == pytest.approx(plain.auc(labels, scores, of_rows), rel=1e-12)
            losses = [-math.log(s if label else 1 - s) for label, s in zip(labels, scores, strict=True)]
            loss = sum(w * x for w, x in zip(of_rows, losses, strict=True)) / sum(of_rows)
            assert values[KEYS["logloss"]][replicate, model] == pytest.approx(loss, rel=1e-12)
            area = area_under_precision_recall(labels, scores, of_rows)
            assert values[KEYS["auc_pr"]][replicate, model] == pytest.approx(area, rel=1e-6)


def area_under_precision_recall(labels: list[int], scores: list[float], weights: list[float]) -> float:
    """Between two thresholds the true and false positives go in a line (Davis and Goadrich), in 4,000 small steps."""
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


def test_the_metrics_of_rows_are_the_same_by_any_merge_tree() -> None:
    found = hashed(rows(3000, seed=2))
    draw = random.Random(3)
    first = combined(RowMetrics(KEYS, 20), found, draw)
    for key, values in combined(RowMetrics(KEYS, 20), found, draw).items():
        np.testing.assert_array_equal(values, first[key])
    for key, values in combined(RowMetrics(KEYS, 20, max_rows=200), found, draw).items():
        np.testing.assert_allclose(values, first[key], rtol=1e-9)


def test_scores_at_the_ends_and_scores_that_are_none() -> None:
    found = [(0.0, 1.0, 1.0, 1.0, math.nan), (1.0, 0.0, 1.0, 0.0, 0.5)]
    values = combined(RowMetrics(KEYS, 0), found, random.Random(0))
    assert values[KEYS["auc"]][0, 0] == 1
    assert values[KEYS["logloss"]][0, 0] == pytest.approx(1e-7, rel=1e-3)
    assert all(np.isnan(of_metric[0, 1]) for of_metric in values.values())


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_auc(label: float) -> None:
    values = combined(RowMetrics(KEYS, 3), [(float(i), label, 1.0, 0.5, 0.4) for i in range(9)], random.Random(0))
    assert np.isnan(values[KEYS["auc"]]).all()
    assert not np.isnan(values[KEYS["logloss"]][0]).any()


NUM_PAIRS = 200


@pytest.mark.slow
def test_the_interval_of_equal_models_holds_zero_19_times_in_20() -> None:
    draw = np.random.default_rng(7)
    measure = Measure("gauc")
    names = ("auc", "logloss", "gauc")
    covered = dict.fromkeys(names, 0)
    for pair in range(NUM_PAIRS):
        intervals = dict(zip(names, (change_interval(v) for v in equal_models(draw, pair, measure)), strict=True))
        for name, (low, high) in intervals.items():
            covered[name] += low <= 0 <= high
    assert all(0.90 * NUM_PAIRS <= number <= 0.98 * NUM_PAIRS for number in covered.values()), covered


def equal_models(draw: np.random.Generator, pair: int, measure: Measure) -> list[np.ndarray]:
    """Both models' AUC, log loss and GAUC on requests of their own; they err alike, in part by the request."""
    num_requests, size = 150, 6
    logits = draw.normal(-1, 1, (num_requests, size))
    labels = (draw.random((num_requests, size)) < 1 / (1 + np.exp(-logits))).astype(float)
    wrong = draw.normal(0, 0.5, (2, num_requests, size)) + draw.normal(0, 0.5, (2, num_requests, 1))
    scores = 1 / (1 + np.exp(-logits - wrong))
    units = [float(unit_hash(f"{pair} {i}".encode())) for i in range(num_requests)]
    rows, groups = RowMetrics(KEYS, 200), MeanOfGroups(KEYS["auc"], 2, 200)
    of_rows, of_groups = rows.create_accumulator(), groups.create_accumulator()
    for i, unit in enumerate(units):
        values = [measure.of_group(labels[i], model[i], np.ones(size)) for model in scores]
        of_groups = groups.add_input(of_groups, (unit, *values[0], *values[1]))
        for j in range(size):
            of_rows = rows.add_input(of_rows, (unit, labels[i, j], 1.0, scores[0, i, j], scores[1, i, j]))
    found = rows.extract_output(of_rows)
    return [found[KEYS["auc"]], found[KEYS["logloss"]], groups.extract_output(of_groups)[KEYS["auc"]]]
