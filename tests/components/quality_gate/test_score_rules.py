"""The rules on the scores as numbers, and what they count."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from components.evaluation.metrics.score_values import ScoreValues, score_values
from components.gate_records import Finding
from components.quality_gate.inputs import Case
from components.quality_gate.score_rules import coinciding_scores, wrong_certain_scores
from tests.components.quality_gate.quality_inputs import inputs
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality


def case(values: ScoreValues | None, serving: float | None = 0.0, bound: float | None = 0.15) -> Case:
    current = dataclasses.replace(inputs(), score_values=values, serving_tied=serving)
    return Case(current, 1, [], Quality(), Evaluation({"auc": Threshold(min=0.5)}, max_miscalibration=bound))


def told(found: Finding) -> tuple[str, str, float | None, float | None]:
    return found.severity, found.rule, found.value, found.bound


def test_pairs_of_the_same_score_and_certain_scores_are_counted() -> None:
    # Of the 15 pairs of 6 rows, 3 have the score 0.2; 0 and 1e-8 differ.
    score, label = np.array([0.2, 0.0, 0.2, 1.0, 0.2, 1e-8]), np.array([0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    found = score_values(label, score)
    assert found.tied == pytest.approx(3 / 15)
    assert (found.certain, found.wrong) == (3, 1)
    assert score_values(label[:1], score[:1]) == ScoreValues(0.0, 0, 0)
    eight = np.repeat(np.arange(8) / 10 + 0.1, 1000)
    assert score_values(np.zeros(8000), eight).tied == pytest.approx(8 * 1000 * 999 / (8000 * 7999))


@pytest.mark.parametrize(
    ("tied", "serving", "bound"),
    [(0.011, 0.0, 0.01), (0.01, 0.0, None), (0.2, 0.02, None), (0.21, 0.02, 0.2), (0.9, None, None)],
)
def test_scores_that_coincide_more_than_those_of_what_serves_are_a_warning(
    tied: float, serving: float | None, bound: float | None
) -> None:
    found = list(coinciding_scores(case(ScoreValues(tied, 0, 0), serving)))
    assert [told(f) for f in found] == ([] if bound is None else [("warn", "evaluation.thresholds", tied, bound)])


def test_the_warning_of_few_distinct_scores_names_both_shares() -> None:
    (found,) = coinciding_scores(case(ScoreValues(0.125, 0, 0), 0.0003))
    assert "in at most 1.0% of all pairs, while the baseline's have in 0.03%" in found.sentence
    assert "Received: 12.5%: few distinct scores" in found.sentence


@pytest.mark.parametrize(
    ("certain", "wrong", "is_found"), [(90, 6, True), (100, 2, True), (100, 1, False), (90, 0, False), (0, 0, False)]
)
def test_certain_scores_that_labels_contradict_are_a_warning(certain: int, wrong: int, is_found: bool) -> None:
    values = ScoreValues(0.0, certain, wrong)
    found = list(wrong_certain_scores(case(values)))
    expected = [("warn", "evaluation.max_miscalibration", wrong / certain, 0.01)] if is_found else []
    assert [told(f) for f in found] == expected
    assert all(f"Received: {wrong} of {certain}, " in f.sentence for f in found)
    assert list(wrong_certain_scores(case(values, bound=None))) == []


def test_a_record_without_them_is_not_judged() -> None:
    without = case(None, None)
    assert [*coinciding_scores(without), *wrong_certain_scores(without)] == []
