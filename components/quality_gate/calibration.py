"""The rule on the calibration over all examples: the mean score must be about the share of label 1."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding, Severity
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE, interval_words, size_words
from components.quality_gate.pooled_rules import MIN_POSITIVES
from components.quality_gate.pooling import BEYOND_CHANCE

#: The config's key of this rule.
MAX_MISCALIBRATION = "evaluation.max_miscalibration"

#: The largest usual factor between a model's logits and those that fit the labels best, either way. Models of 18,000
#: evaluation rows of the simulated store have 0.94 to 1.01; the logits of a fault, 1.6 or 1 / 0.6 = 1.67.
_MAX_LOGIT_FACTOR = 1.25


def miscalibration(case: Case) -> Iterator[Finding]:
    """Refuses a model whose calibration is beyond `evaluation.max_miscalibration` with its whole 95 % interval.

    One that is nearer to 1 than the baseline's, beyond chance, only causes a warning: the share of label 1 is then
    another one than on the days before, as on a day of a sale, and a refusal would keep the worse model.
    """
    bound, whole = case.evaluation.max_miscalibration, case.current.whole
    if bound is None or math.isnan(whole.metrics.get("calibration", math.nan)):
        return
    slope = _slope_words(case.current.calibration_slope)
    received = whole.candidate("calibration")
    if _is_within(received.value, bound):
        if slope:
            rule = f"the logits should fit the labels, but for a factor of at most {_MAX_LOGIT_FACTOR:g} beyond chance"
            sentence = f"{rule} ({MAX_MISCALIBRATION}). Received: {slope}, on {size_words(whole)}"
            yield _finding("warn", whole, bound, sentence)
        return
    severity, remark = _judged(whole, received, bound)
    cause = f"; {slope}" if slope else _cause(whole, bound)
    sentence = (
        f"calibration, the mean score ÷ the share of label 1, must be 1 ± {bound:g} ({MAX_MISCALIBRATION}). Received: "
        f"{received.value:.4f}, {interval_words(received)}, on {size_words(whole)}{cause}{remark}"
    )
    yield _finding(severity, whole, bound, sentence)


def _is_within(calibration: float, bound: float) -> bool:
    return 1 - bound <= calibration <= 1 + bound


def _judged(whole: EvaluationResult, received: Estimate, bound: float) -> tuple[Severity, str]:
    """Returns the severity of a calibration out of bounds, and why it refuses nothing."""
    if whole.num_of_rarer_label < MIN_POSITIVES or not math.isfinite(received.half_width):
        rule = f"an interval is judged from {MIN_POSITIVES} examples of either label on"
        return "cannot_judge", f"; {rule}, so the model passes"
    if received.low <= 1 + bound and received.high >= 1 - bound:
        is_off = received.low > 1 or received.high < 1
        return "warn" if is_off else "cannot_judge", "; the interval reaches these bounds, so the model passes"
    change = whole.changes.get("calibration")
    if change is not None and abs(whole.baseline["calibration"] - 1) - abs(received.value - 1) > change.half_width:
        return "warn", "; that is nearer to 1 than what serves, so the model passes"
    return "refuse", ""


def _cause(whole: EvaluationResult, bound: float) -> str:
    """Returns what the baseline's calibration on the same rows says of the cause; empty without one."""
    serving = whole.baseline.get("calibration", math.nan)
    if math.isnan(serving):
        return ""
    if _is_within(serving, bound):
        return f", and {serving:.4f} by the baseline: the cause lies in the model, not in the labels"
    return f", and {serving:.4f} by the baseline: the cause may lie in the examples or their labels"


def _slope_words(slope: Estimate | None) -> str:
    """Returns by which factor the logits are wrong, if they are beyond chance; empty otherwise."""
    if slope is None or not slope.value > 0:
        return ""
    half_width = BEYOND_CHANCE * slope.standard_error
    if not (slope.value + half_width < 1 / _MAX_LOGIT_FACTOR or slope.value - half_width > _MAX_LOGIT_FACTOR):
        return ""
    return (
        f"the logits are {1 / slope.value:.2f} times those that fit the labels best (calibration slope "
        f"{slope.value:.2f} ± {slope.half_width:.2f})"
    )


def _finding(severity: Severity, whole: EvaluationResult, bound: float, sentence: str) -> Finding:
    value = whole.metrics["calibration"]
    return Finding(GATE, MAX_MISCALIBRATION, severity, "calibration", value, bound, whole.num_examples, sentence)
