"""The sentence for each threshold that a candidate missed, in step with what the Evaluator would bless."""

from __future__ import annotations

import math

import pytest

from pipeline.outcome import _quality_refusals
from transform.settings import Evaluation, Threshold

METRICS = {"auc": 0.70, "logloss": 0.50, "calibration": 1.05}
BASELINE = {"auc": 0.72, "logloss": 0.47, "calibration": 1.0}


def refusals(**rules: Threshold) -> list[str]:
    return _quality_refusals(METRICS, BASELINE, Evaluation(rules))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        ("auc", Threshold(min=0.71), "auc must be at least 0.71. Received: 0.7000"),
        ("logloss", Threshold(max=0.4), "logloss must be at most 0.4. Received: 0.5000"),
        ("calibration", Threshold(min=0.9, max=1.04), "calibration must be at most 1.04. Received: 1.0500"),
        ("calibration", Threshold(min=1.1, max=1.2), "calibration must be at least 1.1. Received: 1.0500"),
        (
            "auc",  # more is better: 0.72 -> 0.70 is worse by 0.02
            Threshold(min=0.5, max_worsening=0.01),
            "auc may be worse than the serving model's by at most 0.01. Received: 0.7000 after 0.7200",
        ),
        (
            "logloss",  # less is better: 0.47 -> 0.50 is worse by 0.03
            Threshold(max=1, max_worsening=0.02),
            "logloss may be worse than the serving model's by at most 0.02. Received: 0.5000 after 0.4700",
        ),
        (
            "auc",
            Threshold(min=0.5, max_worsening=0),
            "auc may be worse than the serving model's by at most 0. Received: 0.7000 after 0.7200",
        ),
    ],
)
def test_a_missed_threshold_is_told(name: str, rule: Threshold, sentence: str) -> None:
    assert refusals(**{name: rule}) == [sentence]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("auc", Threshold(min=0.70)),  # a bound is allowed itself
        ("auc", Threshold(max=0.70)),
        ("logloss", Threshold(max=0.5, max_worsening=0.04)),
        ("auc", Threshold(min=0.5, max_worsening=0.03)),
        ("calibration", Threshold(min=1.05, max=1.05)),
    ],
)
def test_a_threshold_that_is_met_is_not_told(name: str, rule: Threshold) -> None:
    assert refusals(**{name: rule}) == []


def test_every_missed_threshold_is_told_in_the_config_s_order() -> None:
    rules = {"logloss": Threshold(max=0.4, max_worsening=0.01), "auc": Threshold(min=0.9, max_worsening=0.01)}
    assert [sentence.split(" ")[:3] for sentence in refusals(**rules)] == [
        ["logloss", "must", "be"],
        ["logloss", "may", "be"],
        ["auc", "must", "be"],
        ["auc", "may", "be"],
    ]


def test_a_first_model_is_compared_with_nothing() -> None:
    evaluation = Evaluation({"auc": Threshold(min=0.5, max_worsening=0.0)})
    assert _quality_refusals(METRICS, {}, evaluation) == []


def test_a_better_model_may_be_better_by_any_amount() -> None:
    evaluation = Evaluation(
        {"auc": Threshold(min=0.5, max_worsening=0.0), "logloss": Threshold(max=1, max_worsening=0.0)}
    )
    better = {"auc": 0.9, "logloss": 0.1}
    assert _quality_refusals(better, BASELINE, evaluation) == []


def test_a_metric_that_is_not_a_number_is_told_once() -> None:
    evaluation = Evaluation({"auc": Threshold(min=0.5, max=0.9, max_worsening=0.1)})
    assert _quality_refusals({"auc": math.nan}, BASELINE, evaluation) == ["auc is not a number"]
