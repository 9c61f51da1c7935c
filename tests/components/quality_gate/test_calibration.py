"""The rule on the calibration over all examples, on hand-written measurements."""

from __future__ import annotations

import dataclasses
import math

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from components.quality_gate.calibration import miscalibration
from components.quality_gate.inputs import Case, QualityInputs
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality

#: Half of a 95 % interval is 1.96 standard errors: 0.049 with 0.025.
ERROR = 0.025
RULE = "calibration, the mean score ÷ the share of label 1, must be 1 ± 0.15 (evaluation.max_miscalibration). Received:"
SIZE = "on 20,000 examples, 1,400 of them positive"
OF_MODEL = "the cause lies in the model, not in the labels"
OF_LABELS = "the cause may lie in the examples or their labels"


def measured(
    calibration: float, *, error: float = ERROR, serving: float | None = None, positives: int = 1400
) -> EvaluationResult:
    """A model's calibration, with a change from the baseline's whose interval is ± 0.0196."""
    return EvaluationResult(
        num_examples=20_000,
        num_positives=positives,
        metrics={"calibration": calibration},
        errors={"calibration": error},
        baseline={} if serving is None else {"calibration": serving},
        changes={} if serving is None else {"calibration": Estimate(calibration - serving, 0.01)},
    )


def judged(whole: EvaluationResult, slope: Estimate | None = None, bound: float | None = 0.15) -> list[tuple[str, str]]:
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, max_miscalibration=bound)
    current = QualityInputs("m/1", "r", "", {"": whole}, calibration_slope=slope)
    found: list[Finding] = list(miscalibration(Case(current, 1, [], Quality(), evaluation)))
    assert {(f.rule, f.subject, f.value, f.bound, f.rows) for f in found} <= {
        ("evaluation.max_miscalibration", "calibration", whole.metrics["calibration"], bound, 20_000)
    }
    return [(f.severity, f.sentence) for f in found]


def test_the_default_bound_is_in_every_config() -> None:
    assert Evaluation({"auc": Threshold(min=0.5)}).max_miscalibration == 0.15


@pytest.mark.parametrize("calibration", [0.85, 1.0, 1.15])
def test_what_is_within_the_bound_is_not_found(calibration: float) -> None:
    assert judged(measured(calibration)) == []


@pytest.mark.parametrize("calibration", [1.3, 0.75])
def test_a_first_model_beyond_the_bound_is_refused(calibration: float) -> None:
    low, high = calibration - 0.049, calibration + 0.049
    expected = f"{RULE} {calibration:.4f}, its 95 % interval {low:.4f} to {high:.4f}, {SIZE}"
    assert judged(measured(calibration)) == [("refuse", expected)]
    assert judged(measured(calibration), bound=None) == []
    assert judged(measured(calibration), bound=0.35) == []


@pytest.mark.parametrize(
    ("calibration", "error", "severity", "interval"),
    [
        (1.2, 0.05, "warn", "1.1020 to 1.2980"),  # not 1, but perhaps 1.15
        (0.8, 0.05, "warn", "0.7020 to 0.8980"),
        (1.2, 0.15, "cannot_judge", "0.9060 to 1.4940"),
    ],
)
def test_an_interval_that_reaches_the_bound_passes_and_is_said(
    calibration: float, error: float, severity: str, interval: str
) -> None:
    expected = (
        f"{RULE} {calibration:.4f}, its 95 % interval {interval}, {SIZE}; the interval reaches these bounds, so the "
        "model passes"
    )
    assert judged(measured(calibration, error=error)) == [(severity, expected)]


@pytest.mark.parametrize(("positives", "error"), [(29, ERROR), (1400, math.nan)])
def test_without_a_reliable_interval_it_cannot_be_judged(positives: int, error: float) -> None:
    ((severity, sentence),) = judged(measured(1.5, error=error, positives=positives))
    assert severity == "cannot_judge"
    assert sentence.endswith("; an interval is judged from 30 examples of either label on, so the model passes")


@pytest.mark.parametrize(
    ("calibration", "serving", "severity", "cause"),
    [
        (1.3, 1.02, "refuse", f"1.0200 by the baseline: {OF_MODEL}"),
        (0.75, 1.0, "refuse", f"1.0000 by the baseline: {OF_MODEL}"),
        # A day of a sale has more of label 1 than the window: what serves predicts still less of it.
        (0.78, 0.67, "warn", f"0.6700 by the baseline: {OF_LABELS}; that is nearer to 1 than what serves, so"),
        (0.67, 0.78, "refuse", f"0.7800 by the baseline: {OF_LABELS}"),
        (1.3, 1.31, "refuse", f"1.3100 by the baseline: {OF_LABELS}"),  # nearer by 0.01: chance, ± 0.0196
    ],
)
def test_the_serving_model_tells_whether_the_labels_are_the_cause(
    calibration: float, serving: float, severity: str, cause: str
) -> None:
    ((found, sentence),) = judged(measured(calibration, serving=serving))
    assert found == severity
    assert f"{SIZE}, and {cause}" in sentence


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (Estimate(0.625, 0.04), "1.60 times those that fit the labels best (calibration slope 0.62 ± 0.08)"),
        (Estimate(1.7, 0.1), "0.59 times those that fit the labels best (calibration slope 1.70 ± 0.20)"),
    ],
)
def test_logits_with_a_factor_are_named_as_the_cause_and_warned_of_alone(slope: Estimate, words: str) -> None:
    ((severity, sentence),) = judged(measured(0.35, serving=1.0), slope)
    assert severity == "refuse"
    assert sentence.endswith(f"{SIZE}; the logits are {words}")
    ((severity, sentence),) = judged(measured(1.0, serving=1.0), slope)
    assert severity == "warn"
    assert sentence == (
        "the logits should fit the labels, but for a factor of at most 1.25 beyond chance "
        f"(evaluation.max_miscalibration). Received: the logits are {words}, {SIZE}"
    )


@pytest.mark.parametrize(
    "slope",
    [
        None,
        Estimate(1.0, 0.01),
        Estimate(0.7, 0.04),  # 0.7 + 3 · 0.04 is above 0.8
        Estimate(1.5, 0.09),  # 1.5 - 3 · 0.09 is below 1.25
        Estimate(-1.0, 0.1),  # a ranking that is reversed: the AUC says so
        Estimate(0.5, math.nan),
    ],
)
def test_a_slope_that_may_be_chance_is_not_found(slope: Estimate | None) -> None:
    assert judged(measured(1.0), slope) == []


def test_a_calibration_that_is_undefined_or_unknown_is_left_to_other_rules() -> None:
    assert judged(measured(math.nan)) == []
    of_earlier_release = dataclasses.replace(measured(1.0), metrics={"auc": 0.7, "calibration": math.nan})
    assert judged(of_earlier_release) == []
