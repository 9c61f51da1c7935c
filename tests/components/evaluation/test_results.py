"""Intervals of metrics and of their changes."""

from __future__ import annotations

import math

import pytest

from components.evaluation.results import Estimate, EvaluationResult


@pytest.mark.parametrize(
    ("metric", "value", "error", "low", "high"),
    [
        ("auc", 0.7, 0.01, 0.6804, 0.7196),  # 0.7 - and + 1.96 * 0.01
        ("auc", 0.99, 0.02, 0.9508, 1.0),
        ("auc", 0.02, 0.02, 0.0, 0.0592),
        ("ndcg@10", 0.99, 0.02, 0.9508, 1.0),
        ("logloss", 0.1, 0.1, 0.0, 0.2960),
        ("logloss", 0.9, 0.1, 0.7040, 1.0960),
        ("calibration", 1.0, 0.1, 0.8040, 1.1960),
        ("auc", math.nan, math.nan, math.nan, math.nan),
        ("auc", 0.7, math.nan, math.nan, math.nan),
    ],
)
def test_a_metric_s_interval_stays_within_its_range(
    metric: str, value: float, error: float, low: float, high: float
) -> None:
    measured = EvaluationResult(100, {metric: value}, {metric: value}, {}, {metric: error}, {metric: error})
    for estimate in (measured.candidate(metric), measured.serving(metric)):
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5, nan_ok=True)


def test_a_change_s_interval_has_no_range() -> None:
    change = Estimate(-0.01, 0.01)
    assert (change.low, change.high) == pytest.approx((-0.0296, 0.0096), abs=5e-5)
