"""The sentence for each threshold that a candidate missed, in step with what the Evaluator would bless."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from components.measured import Measured, missed_thresholds
from transform.evaluation_settings import Evaluation, SliceThreshold, Threshold

WHOLE = Measured(
    num_examples=5000,
    metrics={"auc": 0.70, "logloss": 0.50, "calibration": 1.05},
    baseline={"auc": 0.72, "logloss": 0.47, "calibration": 1.0},
    changes={"auc": (-0.025, -0.015), "logloss": (0.026, 0.034)},
)

LEAK = ": too good to be true, as if a feature knew the label"
AS_LOW = "by the serving model: the cause may lie in the examples or their labels"


def of_whole(measured: Measured = WHOLE, **rules: Threshold) -> list[str]:
    return missed_thresholds({"": measured}, Evaluation(rules))


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        ("auc", Threshold(min=0.71), "auc must be at least 0.71. Received: 0.7000"),
        ("auc", Threshold(max=0.69), f"auc must be at most 0.69. Received: 0.7000{LEAK}"),
        ("auc", Threshold(min=0.73), f"auc must be at least 0.73. Received: 0.7000, and 0.7200 {AS_LOW}"),
        ("logloss", Threshold(max=0.4), "logloss must be at most 0.4. Received: 0.5000"),
        ("calibration", Threshold(min=0.9, max=1.04), "calibration must be at most 1.04. Received: 1.0500"),
        ("calibration", Threshold(min=1.1, max=1.2), "calibration must be at least 1.1. Received: 1.0500"),
        (
            "auc",  # more is better: even -0.015 is worse by more than 0.01
            Threshold(min=0.5, max_worsening=0.01),
            "auc may be worse than the serving model's by at most 0.01, beyond chance. "
            "Received: 0.7000 after 0.7200, a change of -0.0250 to -0.0150",
        ),
        (
            "logloss",  # less is better: even 0.026 is worse by more than 0.02
            Threshold(max=1, max_worsening=0.02),
            "logloss may be worse than the serving model's by at most 0.02, beyond chance. "
            "Received: 0.5000 after 0.4700, a change of +0.0260 to +0.0340",
        ),
    ],
)
def test_a_missed_threshold_is_told(name: str, rule: Threshold, sentence: str) -> None:
    assert of_whole(**{name: rule}) == [sentence]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("auc", Threshold(min=0.70)),  # a bound is allowed itself
        ("auc", Threshold(max=0.70)),
        ("logloss", Threshold(max=0.5, max_worsening=0.026)),
        ("auc", Threshold(min=0.5, max_worsening=0.015)),  # worse by 0.02, but that may be chance
        ("calibration", Threshold(min=1.05, max=1.05)),
    ],
)
def test_a_threshold_that_is_met_is_not_told(name: str, rule: Threshold) -> None:
    assert of_whole(**{name: rule}) == []


def test_every_missed_threshold_is_told_in_the_config_s_order() -> None:
    rules = {"logloss": Threshold(max=0.4, max_worsening=0.01), "auc": Threshold(min=0.9, max_worsening=0.01)}
    assert [sentence.split(" ")[:3] for sentence in of_whole(**rules)] == [
        ["logloss", "must", "be"],
        ["logloss", "may", "be"],
        ["auc", "must", "be"],
        ["auc", "may", "be"],
    ]


def test_a_first_model_is_compared_with_nothing() -> None:
    first = dataclasses.replace(WHOLE, baseline={}, changes={})
    assert of_whole(first, auc=Threshold(min=0.5, max_worsening=0.0)) == []


def test_a_better_model_may_be_better_by_any_amount() -> None:
    better = dataclasses.replace(WHOLE, changes={"auc": (0.1, 0.2), "logloss": (-0.4, -0.3)})
    rules = {"auc": Threshold(min=0.5, max_worsening=0.0), "logloss": Threshold(max=1, max_worsening=0.0)}
    assert of_whole(better, **rules) == []


def test_a_metric_that_is_not_a_number_is_told_once() -> None:
    undefined = dataclasses.replace(WHOLE, metrics={"auc": math.nan})
    assert of_whole(undefined, auc=Threshold(min=0.5, max=0.9, max_worsening=0.1)) == ["auc is not a number"]


def test_a_change_that_is_not_a_number_is_refused() -> None:
    undefined = dataclasses.replace(WHOLE, changes={"auc": (math.nan, math.nan)})
    (sentence,) = of_whole(undefined, auc=Threshold(min=0.5, max_worsening=1))
    assert sentence.endswith("a change of +nan to +nan")


@pytest.mark.parametrize(
    ("rule", "margins", "sentences"),
    [
        (
            SliceThreshold(min=0.8),
            {"auc_slice_margin": -0.1},
            [f"auc where country = US (5,000 examples) must be at least 0.8. Received: 0.7000, and 0.7200 {AS_LOW}"],
        ),
        (
            SliceThreshold(max_worsening=0.0),
            {"auc_change_high_slice_margin": -0.015},
            [
                "auc where country = US (5,000 examples) may be worse than the serving model's by at most 0, beyond "
                "chance. Received: 0.7000 after 0.7200, a change of -0.0250 to -0.0150"
            ],
        ),
        # What the Evaluator let pass, as it does in a slice of too few examples, is not told.
        (
            SliceThreshold(min=0.8, max_worsening=0.0),
            {"auc_slice_margin": 0.0, "auc_change_high_slice_margin": 0.0},
            [],
        ),
        (SliceThreshold(min=0.6), {"auc_slice_margin": 0.1}, []),
    ],
)
def test_a_missed_threshold_of_a_slice_is_told(
    rule: SliceThreshold, margins: dict[str, float], sentences: list[str]
) -> None:
    sections: dict[str, Any] = {"thresholds": {"auc": Threshold(min=0.1)}, "slice_thresholds": {"auc": rule}}
    in_slice = dataclasses.replace(WHOLE, margins=margins)
    measured = {"": WHOLE, "country = US": in_slice, "country = DE": WHOLE}
    assert missed_thresholds(measured, Evaluation(**sections, slices=("country",))) == sentences
