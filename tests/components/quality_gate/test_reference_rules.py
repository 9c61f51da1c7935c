"""The rule on the reference models by slice, on hand-written differences."""

from __future__ import annotations

import pytest

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import Case, QualityInputs
from components.quality_gate.reference_rules import against_references
from transform.config.evaluation import Evaluation, SliceThreshold, Threshold
from transform.config.quality import Quality

GAMES = EvaluationResult(
    num_examples=300,
    num_positives=20,
    metrics={"auc": 0.52},
    baseline={"auc": 0.50},
    changes={"auc": Estimate(0.02, 0.01)},
)
KEY = "evaluation.slice_thresholds.auc.max_worsening"

#: Each reference model's differences in AUC by slice, as estimate and standard error.
Differences = dict[str, dict[str, tuple[float, float]]]


def judged(differences: Differences, **rules: SliceThreshold) -> list[Finding]:
    by_slice = {
        name: {place: {"auc": PairedDifference(*difference)} for place, difference in of_model.items()}
        for name, of_model in differences.items()
    }
    slices = {place: GAMES for of_model in differences.values() for place in of_model}
    current = QualityInputs("m/1", "r", "", {"": GAMES, **slices}, references_by_slice=by_slice)
    rules = rules or {"auc": SliceThreshold(max_worsening=0.04)}
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, slices=("category",), slice_thresholds=rules)
    return list(against_references(Case(current, 1, [], Quality(), evaluation)))


def test_a_lead_over_what_serves_does_not_hide_a_loss_against_a_simple_model() -> None:
    (found,) = judged({"constant": {"category = games": (0.02, 0.04)}, "item_mean": {"category = games": (-0.2, 0.05)}})
    assert (found.severity, found.rule, found.subject) == ("warn", KEY, "auc where category = games")
    assert (found.value, found.bound, found.rows) == (0.2, 0.04, 300)
    assert found.sentence == (
        f"auc where category = games may be worse than the reference models' by at most 0.04, beyond chance ({KEY}). "
        "Received: worse than the item mean's by 0.2000 ± 0.0980, on 300 examples, 20 of them positive; this model has "
        "0.5200, the baseline 0.5000"
    )


@pytest.mark.parametrize(
    ("estimate", "error", "is_found"),
    [
        (-0.19, 0.05, False),  # below 2 · 1.96 · 0.05
        (-0.2, 0.05, True),
        (-0.05, 0.01, False),  # the better end of its interval is below 0.04
        (-0.06, 0.01, True),
        (0.3, 0.01, False),
        (0.0, 0.0, False),
    ],
)
def test_only_what_is_far_beyond_chance_is_found(estimate: float, error: float, is_found: bool) -> None:
    assert bool(judged({"logistic_regression": {"category = games": (estimate, error)}})) == is_found


def test_one_sentence_names_the_worst_slice_and_the_others() -> None:
    worse = {f"category = {number}": (-0.2 - 0.01 * number, 0.04) for number in range(12)}
    (found,) = judged({"item_mean": worse, "logistic_regression": {"category = 3": (-0.4, 0.04)}})
    assert found.sentence.startswith("auc where category = 3 may be worse than the reference models'")
    assert "worse than the logistic regression's by 0.4000" in found.sentence
    others = ", ".join(f"category = {number}" for number in (11, 10, 9, 8, 7, 6, 5, 4))
    assert found.sentence.endswith(f"; likewise where {others} and 3 others")


def test_a_lower_log_loss_is_better() -> None:
    by_slice = {"constant": {"category = games": {"logloss": PairedDifference(0.1, 0.01)}}}
    current = QualityInputs("m/1", "r", "", {"": GAMES, "category = games": GAMES}, references_by_slice=by_slice)
    rules = {"logloss": SliceThreshold(max_worsening=0.01)}
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, slices=("category",), slice_thresholds=rules)
    (found,) = against_references(Case(current, 1, [], Quality(), evaluation))
    assert found.rule == "evaluation.slice_thresholds.logloss.max_worsening"


def test_without_a_worsening_of_slices_nothing_is_judged() -> None:
    worse: Differences = {"item_mean": {"category = games": (-0.2, 0.02)}}
    assert judged(worse, auc=SliceThreshold(min=0.5)) == []
    assert judged(worse, gauc=SliceThreshold(max_worsening=0.1)) == []
