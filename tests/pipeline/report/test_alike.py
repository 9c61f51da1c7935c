"""The findings of one cause have one sentence."""

from __future__ import annotations

from typing import Any

from components.gate_records import Finding
from pipeline.report.alike import united

SMALL = "evaluation.min_slice_positives"
WORSE = "evaluation.slice_thresholds.auc.max_worsening"


def finding(rule: str, subject: str, severity: Any = "cannot_judge") -> Finding:
    return Finding("quality", rule, severity, subject, 0.1, 0.2, 7, f"{subject} is odd")


def sentences(*found: Finding) -> list[str]:
    return [one.sentence for one in united(found)]


def test_slices_of_one_rule_and_severity_have_one_sentence_with_their_number() -> None:
    found = (
        finding(SMALL, "city = A"),
        finding(WORSE, "auc where city = X"),
        finding("evaluation.min_positives", "evaluation examples"),
        finding(SMALL, "city = B"),
        finding(WORSE, "auc where age_days < 7"),
        finding(SMALL, "city = C"),
        finding(WORSE, "auc where city = Z", "warn"),
    )
    assert sentences(*found) == [
        "city = A is odd; likewise in 2 other slices: city = B, city = C",
        "auc where city = X is odd; likewise in 1 other slice: age_days < 7",
        "evaluation examples is odd",
        "auc where city = Z is odd",
    ]


def test_of_many_slices_eight_others_are_named() -> None:
    (sentence,) = sentences(*(finding(SMALL, f"city = {number}") for number in range(32)))
    named = ", ".join(f"city = {number}" for number in range(1, 9))
    assert sentence == f"city = 0 is odd; likewise in 31 other slices: {named} and 23 more, in the report"


def test_findings_of_other_rules_and_of_whole_features_stay_apart() -> None:
    rules = ("drift.min_label_ratio", "evaluation.thresholds.auc.min", "evaluation.slices")
    found = [finding(rule, subject) for rule in rules for subject in ("country", "device")]
    assert united(found) == found
