"""Metrics and their differences compared with plain Python, and standard errors compared with repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluation.metrics.paired import compute_metrics, differences
from tests.components.evaluation.metrics import plain


def flat(weighted: bool) -> dict[str, np.ndarray]:
    requests = plain.random_requests(60, 3, weighted=weighted)
    columns = {name: np.array([v for r in requests for v in getattr(r, name)], float) for name in plain.Request._fields}
    columns["unit"] = np.array([i for i, r in enumerate(requests) for _ in r.labels])
    return columns


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_their_definitions(weighted: bool) -> None:
    rows = flat(weighted)
    label, weight, score = rows["labels"], rows["weights"], rows["candidate"]
    found = compute_metrics(label, weight, score)
    assert found["auc"] == pytest.approx(plain.auc(label.astype(int).tolist(), score.tolist(), weight.tolist()))
    losses = [-math.log(s if y else 1 - s) * w for y, w, s in zip(label, weight, score, strict=True)]
    assert found["logloss"] == pytest.approx(sum(losses) / sum(weight))
    assert found["calibration"] == pytest.approx(sum(weight * score) / sum(weight * label))
    assert found["mean_label"] == pytest.approx(sum(weight * label) / sum(weight))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_difference_is_one_metric_minus_the_other(weighted: bool) -> None:
    rows = flat(weighted)
    label, weight = rows["labels"], rows["weights"]
    one, other = (compute_metrics(label, weight, rows[name]) for name in ("candidate", "baseline"))
    found = differences(label, weight, rows["unit"], rows["candidate"], rows["baseline"])
    assert found["auc"].estimate == pytest.approx(one["auc"] - other["auc"])
    assert found["logloss"].estimate == pytest.approx(one["logloss"] - other["logloss"])


def test_a_model_does_not_differ_from_itself() -> None:
    rows = flat(weighted=False)
    found = differences(rows["labels"], rows["weights"], rows["unit"], rows["candidate"], rows["candidate"])
    assert all((d.estimate, d.standard_error) == (0, 0) for d in found.values())
    assert set(found) == {"auc", "logloss"}


def test_the_standard_errors_are_the_spread_over_draws_of_users() -> None:
    """200 users with 10 rows each, and one model's error per user: rows as units would underestimate the error."""
    draw = np.random.default_rng(1)
    estimates: dict[str, list[float]] = {"auc": [], "logloss": []}
    errors: dict[str, list[float]] = {"auc": [], "logloss": []}
    by_row: list[float] = []
    for _ in range(300):
        user = np.repeat(np.arange(200), 10)
        logit = draw.normal(-1, 1, 200)[user]
        label = (draw.random(2000) < 1 / (1 + np.exp(-logit))).astype(float)
        one = 1 / (1 + np.exp(-logit - draw.normal(0, 1.5, 200)[user]))
        other = 1 / (1 + np.exp(-logit - draw.normal(0, 0.7, 2000)))
        found = differences(label, np.ones(2000), user, one, other)
        for name, difference in found.items():
            estimates[name].append(difference.estimate)
            errors[name].append(difference.standard_error)
        by_row.append(differences(label, np.ones(2000), np.arange(2000), one, other)["logloss"].standard_error)
    for name, values in estimates.items():
        assert np.mean(errors[name]) == pytest.approx(np.std(values), rel=0.15)
    assert np.mean(by_row) < 0.85 * np.std(estimates["logloss"])


def test_without_both_classes_there_is_no_difference() -> None:
    scores, ones = np.array([0.1, 0.2]), np.ones(2)
    assert differences(np.zeros(2), ones, np.arange(2), scores, scores) == {}
    assert set(compute_metrics(np.zeros(2), ones, scores)) == {"mean_label", "logloss"}
    assert compute_metrics(np.empty(0), np.empty(0), np.empty(0)) == {}
