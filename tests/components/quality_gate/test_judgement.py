"""The judgement of a model on one span: what is refused, what cannot be judged, and the findings' sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.quality_gate.judgement import findings, refusals
from transform.config.evaluation import Evaluation, SliceThreshold, Threshold

WHOLE = EvaluationResult(
    num_examples=5000,
    num_positives=400,
    num_units=900,
    metrics={"auc": 0.70, "logloss": 0.50, "calibration": 1.05},
    baseline={"auc": 0.72, "logloss": 0.47, "calibration": 1.0},
    # An interval is the estimate ± 1.96 standard errors: -0.025 to -0.015, and 0.026 to 0.034.
    changes={"auc": Estimate(-0.02, 0.005 / 1.959964), "logloss": Estimate(0.03, 0.004 / 1.959964)},
    errors={"auc": 0.01, "logloss": 0.01, "calibration": 0.05},
    baseline_errors={"auc": 0.001, "logloss": 0.01, "calibration": 0.05},
)
FIRST = dataclasses.replace(WHOLE, baseline={}, changes={}, baseline_errors={})

SIZE = "on 5,000 examples, 400 of them positive"
LEAK = ": too good to be true, as if a feature contained the label"
AS_LOW = "by the baseline: the cause may lie in the examples or their labels"


def judged(measured: EvaluationResult, rules: dict[str, Threshold], **sections: Any) -> list[tuple[str, str]]:
    """Returns the severity and the rule of each finding over all examples."""
    return [(f.severity, f.rule) for f in findings({"": measured}, Evaluation(rules, **sections))]


def refused(rules: dict[str, Threshold], measured: EvaluationResult = WHOLE) -> list[str]:
    return refusals(findings({"": measured}, Evaluation(rules)))


def test_examples_with_a_weight_of_0_are_no_evidence() -> None:
    """AUC 0.7 on 400 positives and 30 negatives: the interval of random scores is ± 0.107, so it is above chance."""
    measured = dataclasses.replace(FIRST, num_negatives=30)
    (found,) = findings({"": measured}, Evaluation({"auc": Threshold(min=0.5)}))
    assert (found.severity, found.rule, found.value) == ("cannot_judge", "evaluation.min_positives", 30)
    assert "Received: 5,000 examples, 400 of them positive and 30 negative with a weight above 0; it passes" in (
        found.sentence
    )
    few = dataclasses.replace(FIRST, num_negatives=5)  # ± 0.255
    assert judged(few, {"auc": Threshold(min=0.5)}) == [("refuse", "evaluation.min_positives")]
    assert judged(FIRST, {"auc": Threshold(min=0.5)}) == []  # of an earlier release, without the number


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        ("auc", Threshold(min=0.71), f"auc must be at least 0.71. Received: 0.7000 {SIZE}"),
        ("auc", Threshold(max=0.69), f"auc must be at most 0.69. Received: 0.7000 {SIZE}{LEAK}"),
        # The whole interval of the baseline, 0.72 ± 0.002, is below 0.73, but not below 0.721.
        ("auc", Threshold(min=0.73), f"auc must be at least 0.73. Received: 0.7000 {SIZE}, and 0.7200 {AS_LOW}"),
        ("auc", Threshold(min=0.721), f"auc must be at least 0.721. Received: 0.7000 {SIZE}"),
        ("logloss", Threshold(max=0.4), f"logloss must be at most 0.4. Received: 0.5000 {SIZE}"),
        ("calibration", Threshold(min=0.9, max=1.04), f"calibration must be at most 1.04. Received: 1.0500 {SIZE}"),
        ("calibration", Threshold(min=1.1, max=1.2), f"calibration must be at least 1.1. Received: 1.0500 {SIZE}"),
        (
            "auc",  # more is better: even -0.015 is worse by more than 0.01
            Threshold(min=0.5, max_worsening=0.01),
            "auc may be worse than the baseline's by at most 0.01, beyond chance. "
            f"Received: 0.7000 after 0.7200, a change of -0.0250 to -0.0150, {SIZE}",
        ),
        (
            "logloss",  # less is better: even 0.026 is worse by more than 0.02
            Threshold(max=1, max_worsening=0.02),
            "logloss may be worse than the baseline's by at most 0.02, beyond chance. "
            f"Received: 0.5000 after 0.4700, a change of +0.0260 to +0.0340, {SIZE}",
        ),
    ],
)
def test_a_refusal_names_metric_value_bound_and_rows(name: str, rule: Threshold, sentence: str) -> None:
    found = findings({"": WHOLE}, Evaluation({name: rule}))
    assert [f.sentence for f in found] == [sentence]
    (finding,) = found
    assert (finding.gate, finding.severity, finding.subject, finding.rows) == ("quality", "refuse", name, 5000)
    key = finding.rule.removeprefix(f"evaluation.thresholds.{name}.")
    assert finding.bound == getattr(rule, key)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("auc", Threshold(min=0.70)),  # the bound itself is allowed
        ("auc", Threshold(max=0.70)),
        ("logloss", Threshold(max=0.5, max_worsening=0.0261)),
        ("auc", Threshold(min=0.5, max_worsening=0.0151)),  # worse by 0.02, but that may be chance
        ("calibration", Threshold(min=1.05, max=1.05)),
    ],
)
def test_what_is_kept_or_may_be_chance_is_not_found(name: str, rule: Threshold) -> None:
    assert findings({"": WHOLE}, Evaluation({name: rule})) == []


def test_every_missed_threshold_is_found_in_the_config_s_order() -> None:
    rules = {"logloss": Threshold(max=0.4, max_worsening=0.01), "auc": Threshold(min=0.9, max_worsening=0.01)}
    assert judged(WHOLE, rules) == [
        ("refuse", "evaluation.thresholds.logloss.max"),
        ("refuse", "evaluation.thresholds.logloss.max_worsening"),
        ("refuse", "evaluation.thresholds.auc.min"),
        ("refuse", "evaluation.thresholds.auc.max_worsening"),
    ]


def test_a_first_model_is_compared_with_nothing_and_the_findings_say_so() -> None:
    rules = {"auc": Threshold(min=0.5, max_worsening=0.0), "logloss": Threshold(max=1, max_worsening=0.0)}
    (finding,) = findings({"": FIRST}, Evaluation(rules))
    assert finding.severity == "cannot_judge"
    assert finding.sentence == (
        "there is no baseline to compare with: `max_worsening` of auc, logloss applies from the first push on"
    )
    assert findings({"": FIRST}, Evaluation({"auc": Threshold(min=0.5)})) == []


def test_a_better_model_may_be_better_by_any_amount() -> None:
    better = dataclasses.replace(WHOLE, changes={"auc": Estimate(0.2, 0.01), "logloss": Estimate(-0.3, 0.01)})
    rules = {"auc": Threshold(min=0.5, max_worsening=0.02), "logloss": Threshold(max=1, max_worsening=0.02)}
    assert judged(better, rules) == []


def test_a_metric_that_is_not_a_number_is_refused_once() -> None:
    undefined = dataclasses.replace(WHOLE, metrics={"auc": math.nan})
    rules = {"auc": Threshold(min=0.5, max=0.9, max_worsening=0.1)}
    assert refused(rules, undefined) == [f"auc must be a number. Received: none, {SIZE}"]


def test_a_change_without_an_interval_cannot_be_judged() -> None:
    undefined = dataclasses.replace(WHOLE, changes={"auc": Estimate(-0.02, math.nan)})
    rules = {"auc": Threshold(min=0.5, max_worsening=1)}
    assert judged(undefined, rules) == [("cannot_judge", "evaluation.thresholds.auc.max_worsening")]


@pytest.mark.parametrize(
    ("change", "severities"),
    [
        (Estimate(-0.02, 0.01), ["cannot_judge"]),  # ± 0.0196 is wider than 0.01
        (Estimate(0.02, 0.01), ["cannot_judge"]),
        (Estimate(-0.038, 0.01), ["cannot_judge"]),  # beyond 0.01 + 0.0196, not beyond 2 × 0.0196
        (Estimate(-0.040, 0.01), ["refuse"]),
        (Estimate(-0.0145, 0.0025), []),  # ± 0.0049: -0.0096 is possible
        (Estimate(-0.0150, 0.0025), ["refuse"]),
    ],
)
def test_a_comparison_that_cannot_tell_refuses_only_what_is_far_beyond_chance(
    change: Estimate, severities: list[str]
) -> None:
    measured = dataclasses.replace(WHOLE, changes={"auc": change})
    rules = {"auc": Threshold(min=0.5, max_worsening=0.01)}
    assert [severity for severity, _ in judged(measured, rules)] == severities


#: The 28 positives of 400 examples correspond to a store with 2,000 impressions a day.
SMALL = dataclasses.replace(WHOLE, num_examples=400, num_positives=28, changes={})


def small(auc: float, error: float, *, first: bool, positives: int = 28, examples: int = 400) -> EvaluationResult:
    measured = dataclasses.replace(
        SMALL, metrics={"auc": auc}, errors={"auc": error}, num_positives=positives, num_examples=examples
    )
    return dataclasses.replace(measured, baseline={}) if first else measured


@pytest.mark.parametrize(
    ("measured", "severities"),
    [
        (small(0.69, 0.05, first=True), ["cannot_judge"]),  # 0.69 - 1.96 × 0.0565 = 0.579: above chance, let through
        (small(0.60, 0.05, first=True), ["refuse"]),  # 0.60 - 1.96 × 0.0565 = 0.489
        (small(0.60, 0.001, first=True), ["refuse"]),  # the bootstrap's small error is not used
        (small(0.69, 0.12, first=True), ["refuse"]),  # few users: the bootstrap's error is the larger one
        (small(0.99, 0.0, first=True, positives=1, examples=50), ["refuse"]),  # 0.99 - 1.96 × 0.292 = 0.418
        (small(math.nan, math.nan, first=True, positives=0), ["refuse", "refuse"]),
        (small(0.69, 0.05, first=False), ["cannot_judge"]),
        (small(0.55, 0.05, first=False), ["cannot_judge", "cannot_judge"]),  # 0.6 is possible: 0.55 + 0.098
        (small(0.50, 0.05, first=False), ["refuse", "cannot_judge"]),  # even 0.598 is below 0.6
    ],
)
def test_a_small_evaluation_judges_by_intervals(measured: EvaluationResult, severities: list[str]) -> None:
    assert [severity for severity, _ in judged(measured, {"auc": Threshold(min=0.6)})] == severities


def test_a_first_model_that_cannot_be_judged_is_told_how_to_be_pushed() -> None:
    (sentence,) = refused({"auc": Threshold(min=0.6)}, small(0.60, 0.05, first=True))
    assert sentence == (
        "a first model is judged by at least 200 evaluation examples of either label. Received: 400 examples, 28 of "
        "them positive; with fewer, its AUC's whole 95 % interval must be above 0.5: auc 0.6000, its 95 % interval "
        "0.4890 to "
        "0.7110. More evaluation rows (`ingestion.eval_fraction`) or a smaller `evaluation.min_positives` can help, "
        "and `wdr run --force-push --reason TEXT` pushes it anyway"
    )


def test_a_smaller_minimum_judges_by_the_values_alone() -> None:
    measured = small(0.61, 0.05, first=True)
    assert judged(measured, {"auc": Threshold(min=0.6)}, min_positives=28) == []
    assert judged(measured, {"auc": Threshold(min=0.62)}, min_positives=28) == [
        ("refuse", "evaluation.thresholds.auc.min")
    ]


def test_few_negatives_are_as_few_as_few_positives() -> None:
    measured = small(0.60, 0.05, first=True, positives=372)
    assert judged(measured, {"auc": Threshold(min=0.6)}) == [("refuse", "evaluation.min_positives")]


def of_slice(in_slice: EvaluationResult, rule: SliceThreshold, **sections: Any) -> Iterator[tuple[str, str, str]]:
    evaluation = Evaluation(
        {"auc": Threshold(min=0.1)}, slices=("country",), slice_thresholds={"auc": rule}, **sections
    )
    for f in findings({"": WHOLE, "country = US": in_slice}, evaluation):
        yield f.severity, f.subject, f.sentence


IN_SLICE = dataclasses.replace(WHOLE, num_examples=900, num_positives=60)
SLICE_SIZE = "on 900 examples, 60 of them positive"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            SliceThreshold(min=0.8),  # 0.70 + 1.96 × 0.01 is below it
            f"auc where country = US must be at least 0.8. Received: 0.7000 {SLICE_SIZE}, and 0.7200 {AS_LOW}",
        ),
        (
            SliceThreshold(max_worsening=0.01),
            "auc where country = US may be worse than the baseline's by at most 0.01, beyond chance. "
            f"Received: 0.7000 after 0.7200, a change of -0.0250 to -0.0150, {SLICE_SIZE}",
        ),
    ],
)
def test_a_refusal_by_a_slice_names_it(rule: SliceThreshold, sentence: str) -> None:
    assert list(of_slice(IN_SLICE, rule)) == [("refuse", "auc where country = US", sentence)]


def test_a_bound_that_a_slice_s_interval_reaches_refuses_nothing() -> None:
    (found,) = of_slice(IN_SLICE, SliceThreshold(min=0.71))
    assert found == (
        "cannot_judge",
        "auc where country = US",
        "auc where country = US must be at least 0.71. Received: 0.7000, which may be chance: its 95 % interval 0.6804 "
        f"to 0.7196, {SLICE_SIZE}",
    )


@pytest.mark.parametrize(
    ("positives", "sections", "sentence"),
    [
        (49, {}, "at least 50 examples of either label. Received: 900 examples, 49 of them positive"),
        (880, {}, "at least 50 examples of either label. Received: 900 examples, 880 of them positive"),
        (60, {"min_slice_examples": 901}, "at least 901 examples. Received: 900 examples, 60 of them positive"),
    ],
)
def test_a_slice_that_is_too_small_is_named_and_not_refused(
    positives: int, sections: dict[str, int], sentence: str
) -> None:
    chance = {"auc": Estimate(-0.02, 0.0052)}  # 2 half-widths of its interval are 0.0204
    in_slice = dataclasses.replace(IN_SLICE, num_positives=positives, changes=chance)
    expected = ("cannot_judge", "country = US", f"the slice country = US is judged by {sentence}")
    assert list(of_slice(in_slice, SliceThreshold(min=0.8, max_worsening=0.0), **sections)) == [expected]


@pytest.mark.parametrize(
    ("positives", "sections", "severity"),
    [
        (14, {}, "cannot_judge"),
        (15, {}, "refuse"),
        (49, {}, "refuse"),
        (886, {}, "cannot_judge"),  # 14 negatives
        (885, {}, "refuse"),
        (49, {"min_slice_examples": 901}, "cannot_judge"),
    ],
)
def test_a_change_far_beyond_chance_is_judged_in_a_smaller_slice(
    positives: int, sections: dict[str, int], severity: str
) -> None:
    far = {"auc": Estimate(-0.2, 0.05)}  # 4 standard errors
    in_slice = dataclasses.replace(IN_SLICE, num_positives=positives, changes=far)
    ((found, _, sentence),) = of_slice(in_slice, SliceThreshold(max_worsening=0.01), **sections)
    assert found == severity
    if found == "refuse":
        assert "auc where country = US may be worse than the baseline's by at most 0.01, beyond chance" in sentence
    # Neither 0.19 nor a loss that the margin allows is far beyond chance, and the bounds of a value judge nothing.
    for changes, rule in (
        ({"auc": Estimate(-0.19, 0.05)}, SliceThreshold(max_worsening=0.01)),
        (far, SliceThreshold(max_worsening=0.11)),
        (far, SliceThreshold(min=0.9)),
    ):
        smaller = dataclasses.replace(in_slice, changes=changes)
        assert [kind for kind, *_ in of_slice(smaller, rule, **sections)] == ["cannot_judge"]


def test_a_slice_without_a_class_cannot_be_judged() -> None:
    in_slice = dataclasses.replace(IN_SLICE, metrics={"auc": math.nan})
    assert [severity for severity, *_ in of_slice(in_slice, SliceThreshold(min=0.5))] == ["cannot_judge"]
