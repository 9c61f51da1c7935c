"""The findings of one cause have one sentence."""

from __future__ import annotations

from typing import Any

from components.gate_records import Finding
from pipeline.report.alike import by_rule, united

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
    (one,) = united([finding(SMALL, f"city = {number}") for number in range(32)], "in the list below")
    assert one.sentence.endswith("and 23 more, in the list below")


def test_findings_of_other_rules_and_of_whole_features_stay_apart() -> None:
    rules = ("drift.min_label_ratio", "evaluation.thresholds.auc.min", "evaluation.slices")
    found = [finding(rule, subject) for rule in rules for subject in ("country", "device")]
    assert united(found) == found


def test_a_rule_has_one_line_of_slices_and_of_features_alike() -> None:
    found = [
        *(finding(SMALL, f"city = {name}") for name in "ABCDE"),
        finding("drift.reference_spans", "drift"),
        finding("drift.divergence_floor", "price", "warn"),
        finding(WORSE, "auc where city = X", "warn"),
        finding(WORSE, "auc where city = Y", "warn"),
        finding("drift.divergence_floor", "weekday", "warn"),
    ]
    assert list(by_rule(found)) == [
        f"{SMALL} cannot judge city = A, city = B, city = C and 2 more: see the report",
        "drift is odd",
        "drift.divergence_floor warns of price, weekday: see the report",
        f"{WORSE} warns of city = X, city = Y: see the report",
    ]
