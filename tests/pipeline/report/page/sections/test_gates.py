"""The gates on a run's page: a sentence sums each gate up, and each finding is there."""

from __future__ import annotations

import math
from typing import Any

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding, Rule
from pipeline.report.page.parts import Fold, Note, Table
from pipeline.report.page.sections import gates
from tests.pipeline.report.run_results import ended, run_result
from transform.config.evaluation import Evaluation, Threshold

SMALL = "evaluation.min_slice_positives"


def finding(rule: str, severity: Any, subject: str = "auc") -> Finding:
    return Finding("quality", rule, severity, subject, 1, 2, 7, f"{subject} is odd")


def test_a_gate_is_summed_up_by_its_rules() -> None:
    """Of four keys, one has a refusal and a warning, and counts once; one has a finding of a key below it."""
    rules = [Rule(("a.one", "a.two"), list), Rule(("a.two", "a.three", "a.four"), list)]
    found = [finding("a.two", "warn"), finding("a.two", "refuse"), finding("a.three.auc.min", "cannot_judge")]
    assert gates.summary(rules, found) == ("2 of 4 rules have no finding; refusing: a.two; cannot judge yet: a.three")
    assert gates.summary(rules, []) == "4 of 4 rules have no finding"


@pytest.mark.parametrize(
    ("severity", "start", "tone"),
    [
        ("cannot_judge", "The gate on quality lets the run through: 12 of 13 rules have no finding; cannot", "good"),
        ("refuse", f"The gate on quality refuses the model: 12 of 13 rules have no finding; refusing: {SMALL}.", "bad"),
    ],
)
def test_the_summary_stands_above_the_table(severity: str, start: str, tone: str) -> None:
    blocks = list(gates.blocks(ended(run_result(findings=(finding(SMALL, severity),)))))
    note, table = blocks[-2:]
    assert isinstance(note, Note)
    assert isinstance(table, Table)
    assert (note.text[: len(start)], note.tone) == (start, tone)


def test_the_slices_of_one_rule_are_one_row_and_a_fold_has_each() -> None:
    found = tuple(finding(SMALL, "cannot_judge", f"city = {number}") for number in range(40))
    *_, table, fold = gates.blocks(ended(run_result(findings=found)))
    assert isinstance(table, Table)
    (sentence,) = (row[2] for row in table.rows)
    assert sentence.startswith("city = 0 is odd; likewise in 39 other slices: city = 1, city = 2, ")
    assert sentence.endswith("city = 8 and 31 more, in the list below")
    assert isinstance(fold, Fold)
    assert fold.title == "All 40 findings one by one: the gate on quality"
    (each,) = fold.blocks
    assert isinstance(each, Table)
    assert [row[1] for row in each.rows] == [f"city = {number}" for number in range(40)]


@pytest.mark.parametrize(("number", "has_fold"), [(60, False), (61, True)])
def test_findings_that_the_table_leaves_out_are_in_the_fold(number: int, has_fold: bool) -> None:
    found = tuple(finding("evaluation.max_miscalibration", "warn", f"metric_{i}") for i in range(number))
    *_, last = gates.blocks(ended(run_result(findings=found)))
    assert isinstance(last, Fold) == has_fold
    table = last.blocks[0] if isinstance(last, Fold) else last
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows] == [f"metric_{i}" for i in range(number)]


def measured(**changes: Any) -> EvaluationResult:
    """An AUC of 0.74 and a calibration of 0.93, each with a half-width of 0.0196."""
    fields: dict[str, Any] = {
        "metrics": {"auc": 0.74, "calibration": 0.93}, "baseline": {}, "changes": {},
        "errors": {"auc": 0.01, "calibration": 0.01},
    }  # fmt: skip
    return EvaluationResult(99, **fields | changes)


@pytest.mark.parametrize(
    ("result", "bounds", "words"),
    [
        # (0.74 - 0.65) / 0.0196 = 4.6 and (0.15 - 0.07) / 0.0196 = 4.1 half-widths
        (measured(), Threshold(min=0.65), "calibration, 0.9300 (at most 0.15 from 1)"),
        # (0.74 - 0.7) / 0.0196 = 2.0
        (measured(), Threshold(min=0.7), "auc, 0.7400 (at least 0.7)"),
        # (0.76 - 0.74) / 0.0196 = 1.0
        (measured(), Threshold(min=0.7, max=0.76), "auc, 0.7400 (at most 0.76)"),
        # (0.01 - 0.005) / 0.0098 = 0.5
        (
            measured(changes={"auc": Estimate(-0.005, 0.005)}),
            Threshold(min=0.7, max_worsening=0.01),
            "the change of auc, −0.0050 (worse by at most 0.01)",
        ),
        (measured(errors={"auc": math.nan, "calibration": math.nan}), Threshold(min=0.7), ""),
    ],
)
def test_the_metric_nearest_to_a_bound_is_that_by_its_interval(
    result: EvaluationResult, bounds: Threshold, words: str
) -> None:
    assert gates.nearest_bound(result, Evaluation(thresholds={"auc": bounds})) == words
