"""The judgement of a model's quality on one span: pure functions from measurements to findings.

A model is refused only for what is beyond chance. If there are few examples, the metric's 95 % interval is compared
with `min` and `max`. A change from the baseline is always judged by its interval; if the interval's half-width exceeds
the allowed change, the change cannot be judged: that is a finding of its own, and refuses nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from components.evaluation.results import Estimate, EvaluationResult, interval
from components.gate_records import Finding, Severity
from components.quality_gate.inputs import Case
from transform.config.evaluation import HIGHER_IS_BETTER, Evaluation, SliceThreshold, kind_of

#: The gate's name in these findings.
GATE = "quality"

#: In a slice with fewer examples of either label than `min_slice_positives`, only a change of 3.9 standard errors is
#: judged, from this number on. In 24,000 draws of equal models with 15 to 50 positives, the AUC of 7 was worse by that
#: much, and the log loss of 2: a few times as many as by the normal distribution.
LEAST_SLICE_POSITIVES = 15

_KEY = "evaluation"


def findings(measured: Mapping[str, EvaluationResult], evaluation: Evaluation, not_compared: str = "") -> list[Finding]:
    """Judges a model by its evaluation results.

    Args:
      measured: The results by slice; `""` is all examples.
      evaluation: The bounds.
      not_compared: Why the model that serves is not the baseline, as a sentence; empty if it is, or if none serves.

    Returns:
      The findings: refusals first, then what could not be judged; within each, those over all examples before those of
      slices.
    """
    found = [
        *_judge_whole(measured[""], evaluation, not_compared),
        *(f for name, m in sorted(measured.items()) if name for f in _judge_slice(name, m, evaluation)),
    ]
    order: tuple[Severity, ...] = ("refuse", "cannot_judge")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def on_this_span(case: Case) -> Iterator[Finding]:
    """Judges the metrics of this span by their thresholds, over all examples and in each slice."""
    yield from findings(case.current.measured, case.evaluation, case.current.not_compared)


def refusals(found: Sequence[Finding]) -> list[str]:
    """Returns the sentences of the findings that refuse the model."""
    return [finding.sentence for finding in found if finding.severity == "refuse"]


class _Subject(NamedTuple):
    """A metric over some examples, and its rule.

    Attributes:
      metric: The metric's name.
      place: The slice; empty for all examples.
      rule: The bounds.
      key: The rule's key in the config.
      measured: The results over the examples.
      is_small: Whether there are so few examples that the metric's interval is compared with the bounds.
    """

    metric: str
    place: str
    rule: SliceThreshold
    key: str
    measured: EvaluationResult
    is_small: bool

    @property
    def name(self) -> str:
        return f"{self.metric} where {self.place}" if self.place else self.metric

    @property
    def size(self) -> str:
        return size_words(self.measured)

    def finding(self, severity: Severity, key: str, value: float, bound: float | None, sentence: str) -> Finding:
        number = value if math.isfinite(value) else None
        rows = self.measured.num_examples
        return Finding(GATE, f"{self.key}.{key}", severity, self.name, number, bound, rows, sentence)


def size_words(measured: EvaluationResult) -> str:
    """Returns the numbers of examples as text: of all, and of those of either label."""
    words = f"{measured.num_examples:,} examples, {measured.num_positives:,} of them positive"
    if measured.num_positives + measured.negatives < measured.num_examples:
        words += f" and {measured.negatives:,} negative with a weight above 0"
    return words


def _judge_whole(whole: EvaluationResult, evaluation: Evaluation, not_compared: str) -> Iterator[Finding]:
    is_small = whole.num_of_rarer_label < evaluation.min_positives
    if is_small:
        yield from _small_evaluation(whole, evaluation, is_first=not (whole.baseline or not_compared))
    for name, rule in evaluation.thresholds.items():
        yield from _judge_metric(_Subject(name, "", rule, f"{_KEY}.thresholds.{name}", whole, is_small))
    compared = [name for name, rule in evaluation.all_thresholds if rule.max_worsening is not None]
    if compared and not whole.baseline:
        rules = f"`max_worsening` of {', '.join(dict.fromkeys(compared))}"
        sentence = f"there is no baseline to compare with: {rules} applies from the first push on"
        if not_compared:
            sentence = f"{rules} cannot be judged, only `min` and `max`: {not_compared}"
        key = f"{_KEY}.thresholds"
        yield Finding(GATE, key, "cannot_judge", "max_worsening", None, None, whole.num_examples, sentence)


def _judge_metric(subject: _Subject) -> Iterator[Finding]:
    """Judges a metric by all bounds of its rule; without a number, only one of all examples is refused."""
    first = next(name for name in ("min", "max", "max_worsening") if getattr(subject.rule, name) is not None)
    value = subject.measured.metrics.get(subject.metric)
    if value is None:
        sentence = f"{subject.name} is not among the measurements, as an earlier release made them without it"
        yield subject.finding("cannot_judge", first, math.nan, None, sentence)
    elif math.isnan(value):
        severity: Severity = "cannot_judge" if subject.place else "refuse"
        sentence = f"{subject.name} must be a number. Received: none, on {subject.size}"
        yield subject.finding(severity, "min" if subject.place else first, math.nan, None, sentence)
    else:
        yield from _bounds(subject)
        yield from _worsening(subject)


def _small_evaluation(whole: EvaluationResult, evaluation: Evaluation, *, is_first: bool) -> Iterator[Finding]:
    """Judges a small evaluation: a first model must rank better than chance, by its whole 95 % interval."""
    auc = _above_chance(whole)
    proven = auc.low > 0.5  # False for NaN
    what = "a first model is" if is_first else "`min` and `max` are"
    rule = f"{what} judged by at least {evaluation.min_positives} evaluation examples of either label"
    sentence = f"{rule}. Received: {size_words(whole)}; "
    if not is_first:
        sentence += "a metric is refused only where its whole 95 % interval is out of bounds"
    elif proven:
        sentence += f"it passes because it ranks better than chance: auc {auc.value:.4f}, {interval_words(auc)}"
    else:
        sentence += (
            f"with fewer, its AUC's whole 95 % interval must be above 0.5: auc {auc.value:.4f}, {interval_words(auc)}. "
            "More evaluation rows (`ingestion.eval_fraction`) or a smaller `evaluation.min_positives` can help, and "
            "`wdr run --force-push --reason TEXT` pushes it anyway"
        )
    severity: Severity = "refuse" if is_first and not proven else "cannot_judge"
    value, bound = float(whole.num_of_rarer_label), float(evaluation.min_positives)
    key = f"{_KEY}.min_positives"
    yield Finding(GATE, key, severity, "evaluation examples", value, bound, whole.num_examples, sentence)


def _above_chance(whole: EvaluationResult) -> Estimate:
    """Returns the AUC with a standard error that is at least that of random scores.

    With few positives, the bootstrap's standard error may be far too small: 0 if they happen to be ranked first. Random
    scores have √((P + N + 1) / (12 P N)) with P positives and N negatives (Mann and Whitney, 1947): 0.29 with one
    positive, 0.056 with 28 of 400.
    """
    positives, negatives = whole.num_positives, whole.negatives
    auc = whole.candidate("auc")
    if not positives or not negatives:
        return dataclasses.replace(auc, value=math.nan, standard_error=math.nan)
    by_chance = math.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    return dataclasses.replace(auc, standard_error=max(by_chance, auc.standard_error))  # NaN does not count


def interval_words(estimate: Estimate) -> str:
    """Returns the text of a metric's 95 % interval."""
    return f"its 95 % interval {estimate.low:.4f} to {estimate.high:.4f}"


def _bounds(subject: _Subject) -> Iterator[Finding]:
    """Judges whether a metric is within `min` and `max`; with few examples, whether its interval overlaps them."""
    rule, estimate = subject.rule, subject.measured.candidate(subject.metric)
    if rule.min is not None and estimate.value < rule.min:
        remark = _serving_misses(subject, rule.min)
        yield _out_of_bounds(subject, "min", rule.min, "at least", estimate, estimate.high < rule.min, remark)
    if rule.max is not None and estimate.value > rule.max:
        is_better = HIGHER_IS_BETTER[kind_of(subject.metric)]
        remark = ": too good to be true, as if a feature contained the label" if is_better else ""
        yield _out_of_bounds(subject, "max", rule.max, "at most", estimate, estimate.low > rule.max, remark)


def _out_of_bounds(
    subject: _Subject, key: str, bound: float, words: str, estimate: Estimate, is_certain: bool, remark: str
) -> Finding:
    """Returns the finding of a metric beyond a bound; of few examples, it refuses only with the whole interval."""
    start = f"{subject.name} must be {words} {bound:g}. Received: {estimate.value:.4f}"
    if not subject.is_small or is_certain:
        return subject.finding("refuse", key, estimate.value, bound, f"{start} on {subject.size}{remark}")
    sentence = f"{start}, which may be chance: {interval_words(estimate)}, on {subject.size}"
    return subject.finding("cannot_judge", key, estimate.value, bound, sentence)


def _serving_misses(subject: _Subject, lowest: float) -> str:
    """Returns a remark if the baseline misses the bound too: the candidate model may not be the cause."""
    if subject.metric not in subject.measured.baseline or not HIGHER_IS_BETTER[kind_of(subject.metric)]:
        return ""
    serving = subject.measured.serving(subject.metric)
    if not serving.high < lowest:
        return ""
    return f", and {serving.value:.4f} by the baseline: the cause may lie in the examples or their labels"


def _worsening(subject: _Subject) -> Iterator[Finding]:
    """Judges whether a metric is worse than the baseline's by more than `max_worsening` and chance."""
    margin, change = subject.rule.max_worsening, subject.measured.changes.get(subject.metric)
    if margin is None or change is None:
        return
    serving = subject.measured.baseline[subject.metric]
    worse = -change.value if HIGHER_IS_BETTER[kind_of(subject.metric)] else change.value
    start = (
        f"{subject.name} may be worse than the baseline's by at most {margin:g}, beyond chance. Received: "
        f"{subject.measured.metrics[subject.metric]:.4f} after {serving:.4f}"
    )
    if not math.isfinite(change.half_width):
        sentence = f"{start}; the change has no interval, on {subject.size}"
        yield subject.finding("cannot_judge", "max_worsening", worse, margin, sentence)
    elif is_far_worse(Estimate(worse, change.standard_error), margin):
        sentence = f"{start}, a change of {interval(change)}, on {subject.size}"
        yield subject.finding("refuse", "max_worsening", worse, margin, sentence)
    elif change.half_width > margin:
        doubt = (
            "not beyond chance for one of many comparisons"
            if worse > margin + change.half_width
            else "the interval is too wide to decide"
        )
        sentence = f"{start}, a change of {interval(change)}: {doubt}, on {subject.size}"
        yield subject.finding("cannot_judge", "max_worsening", worse, margin, sentence)


def is_far_worse(loss: Estimate, margin: float) -> bool:
    """Returns whether a loss, above 0 if a model is worse, exceeds a margin beyond chance; False without an interval.

    The better end of its 95 % interval must be above the margin, and the loss more than twice the interval's
    half-width. The second condition follows from the first if the half-width is at most the margin. If it is larger,
    the condition prevents refusals of a slice with few examples by chance: 1 in 23,000 equal models exceeds 3.9
    standard errors, and 1 in 44 exceeds 2 standard errors.
    """
    return loss.value > max(margin + loss.half_width, 2 * loss.half_width)


def _judge_slice(name: str, measured: EvaluationResult, evaluation: Evaluation) -> Iterator[Finding]:
    if not evaluation.slice_thresholds:
        return
    subjects = [
        _Subject(metric, name, rule, f"{_KEY}.slice_thresholds.{metric}", measured, is_small=True)
        for metric, rule in evaluation.slice_thresholds.items()
    ]
    few_positives = measured.num_of_rarer_label < evaluation.min_slice_positives
    if few_positives or measured.num_examples < evaluation.min_slice_examples:
        key, least = (
            ("min_slice_positives", f"{evaluation.min_slice_positives:,} examples of either label")
            if few_positives
            else ("min_slice_examples", f"{evaluation.min_slice_examples:,} examples")
        )
        value = float(measured.num_of_rarer_label if few_positives else measured.num_examples)
        bound, rows = float(getattr(evaluation, key)), measured.num_examples
        judges_far = min(measured.num_of_rarer_label - LEAST_SLICE_POSITIVES, rows - evaluation.min_slice_examples) >= 0
        far = list(_far_worsenings(subjects)) if judges_far else []
        sentence = f"the slice {name} is judged by at least {least}. Received: {size_words(measured)}"
        yield from far or [Finding(GATE, f"{_KEY}.{key}", "cannot_judge", name, value, bound, rows, sentence)]
        return
    for subject in subjects:
        yield from _judge_metric(subject)


def _far_worsenings(subjects: Sequence[_Subject]) -> Iterator[Finding]:
    """Yields the refusals of a slice with few examples: a change of 3.9 standard errors is not chance there either."""
    for subject in subjects:
        if subject.metric in subject.measured.metrics:
            yield from (found for found in _worsening(subject) if found.severity == "refuse")
