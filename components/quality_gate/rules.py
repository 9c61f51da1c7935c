"""The quality gate's decisions: pure functions of the measurements of this span and of earlier ones.

Small losses add up. So a candidate model is compared not only with the model that serves, which is replaced every day,
but also with an *anchor*: a pushed model that stays the reference until a model beats it beyond chance. The uncertainty
of one day's difference exceeds the loss that must be detected, so the differences of the last spans are pooled, each
weighted by its precision (1 / its variance) and by its recency (the newest of 7 counts seven times the oldest).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components.data_validation.evidence import Labelled
from components.evaluation.results import EvaluationResult, from_plain
from components.gate_records import Finding, GateRecord, Severity
from components.quality_gate import judgement as quality
from components.quality_gate.too_good import too_good
from transform.config.evaluation import HIGHER_IS_BETTER, Evaluation, kind_of
from transform.config.quality import Quality

GATE = quality.GATE

#: A difference of more than this many standard errors is beyond chance: it occurs on one good day in 740. A rule that
#: also requires a minimum loss refuses fewer days; `python -m benchmarks.gate_replay` counts them over all rules.
BEYOND_CHANCE = 3.0

#: The number of standard errors, of one span, by which a model must be better to replace the anchor. So the anchor
#: stays during a slow decline: by chance, an equally good model replaces it on one day in 4,300, a worse one more
#: rarely.
BETTER_THAN_ANCHOR = 3.5

#: With fewer examples of a label, a standard error is not reliable. A slice needs fewer: its differences are pooled
#: over several spans.
MIN_POSITIVES, MIN_SLICE_POSITIVES = 30, 10

#: The config's keys of the bounds relative to the anchor.
ANCHOR_RULES = ("quality.max_auc_loss", "quality.max_logloss_rise")

#: Half the width of a 95 % interval, in standard errors; the rules on one span use that interval.
_HALF_WIDTH = 1.96

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class PairedDifference:
    """The candidate model's metric minus another model's on the same rows, and its standard error."""

    estimate: _Finite
    standard_error: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class Rival:
    """A model that the candidate model is compared with.

    Attributes:
      model_uri: The model's URI; empty if there is none.
      version: The model's version; None if it was removed.
      metrics: Its metrics on this span's evaluation rows, as returned by `metrics_of`; empty if it could not be scored.
      differences: By metric, the candidate model's minus this model's, on the same rows.
      problem: Why it could not be measured, as a sentence; empty if it could.
    """

    model_uri: str
    version: int | None = None
    metrics: dict[str, _Finite] = Field(default_factory=dict)
    differences: dict[str, PairedDifference] = Field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, config=_STRICT)
class QualityInputs:
    """The quality gate's inputs of one span.

    Attributes:
      model_uri: The candidate model's URI, as in manifests, like all URIs here.
      recipe: A digest of the config and the code that it was trained with.
      serving_uri: The URI of the model that serves; empty on a first run.
      measured: The Evaluator's results of both by slice, as returned by `components.evaluation.results.to_plain`.
      anchor: The anchor; None if there is none yet.
      not_compared: Why the model that serves is not compared, as a sentence; empty if it is.
    """

    model_uri: str
    recipe: str
    serving_uri: str
    measured: dict[str, Any]
    anchor: Rival | None = None
    not_compared: str = ""

    @cached_property
    def slices(self) -> dict[str, EvaluationResult]:
        """The Evaluator's results by slice."""
        return from_plain(self.measured)

    @property
    def whole(self) -> EvaluationResult:
        """The Evaluator's result over all examples."""
        return self.slices[""]

    def to_json(self) -> dict[str, Any]:
        """Converts the inputs to those of a GateRecord."""
        plain: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, inputs: Mapping[str, Any]) -> QualityInputs:
        """Converts the output of `to_json` back; raises pydantic's ValidationError, a ValueError, for other input."""
        return _ADAPTER.validate_python(dict(inputs))


_ADAPTER = TypeAdapter(QualityInputs)


@dataclasses.dataclass(frozen=True)
class EarlierSpan:
    """The gate's inputs of an earlier span, and whether the gate refused that span's model."""

    span: int
    inputs: QualityInputs
    refused: bool


def earlier_spans(records: Iterable[GateRecord]) -> list[EarlierSpan]:
    """Returns the earlier spans of records, oldest first; spans without a model to judge are left out."""
    return [
        EarlierSpan(r.span, QualityInputs.from_json(r.inputs), bool(r.of_severity("refuse")))
        for r in sorted(records, key=lambda record: record.span)
        if r.inputs
    ]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Pooled differences of several spans.

    Attributes:
      estimate: The weighted mean of the differences.
      standard_error: The standard error of the mean.
      num_spans: The number of spans pooled.
    """

    estimate: float
    standard_error: float
    num_spans: int


def pool(differences: Sequence[PairedDifference]) -> Pooled:
    """Returns the weighted mean of spans' differences, given oldest first, at least one.

    A span's weight is its position, 1 for the oldest, divided by its variance. For two spans with -0.010 and -0.004,
    both with a standard error of 0.003, the mean is (1 · -0.010 + 2 · -0.004) / 3 = -0.006, and its standard error is
    0.003 · √(1² + 2²) / 3 = 0.0022.
    """
    if any(d.standard_error == 0 for d in differences):  # models with equal scores: the weight would be infinite
        differences = [PairedDifference(d.estimate, max(d.standard_error, 1e-9)) for d in differences]
    weights = [place / d.standard_error**2 for place, d in enumerate(differences, start=1)]
    total = sum(weights)
    pairs = list(zip(weights, differences, strict=True))
    estimate = sum(weight * d.estimate for weight, d in pairs) / total
    variance = sum((weight * d.standard_error) ** 2 for weight, d in pairs) / total**2
    return Pooled(estimate, math.sqrt(variance), len(differences))


def decide(
    current: QualityInputs, span: int, earlier: Sequence[EarlierSpan], settings: Quality, evaluation: Evaluation
) -> list[Finding]:
    """Decides whether a candidate model may be pushed.

    Args:
      current: The inputs of this span.
      span: The span.
      earlier: The inputs of earlier spans, oldest first.
      settings: The bounds over several spans.
      evaluation: The bounds on one span.

    Returns:
      The findings: refusals first, then what could not be judged, then warnings.
    """
    sizes = [quality.slice_sizes(e.inputs.slices) for e in earlier]
    found = [
        *quality.findings(current.slices, evaluation, sizes, current.not_compared),
        *_against_anchor(current, earlier, settings),
        *_against_serving(current, earlier, settings, evaluation),
        *_on_unseen_spans(current, span, earlier, settings),
        *_too_good(current, earlier, settings),
    ]
    order: tuple[Severity, ...] = ("refuse", "cannot_judge", "warn")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _too_good(current: QualityInputs, earlier: Sequence[EarlierSpan], settings: Quality) -> Iterator[Finding]:
    """Compares the AUC with the baseline's, and with those of the last spans' models that were not refused.

    A model that is legitimately much better must be force-pushed once; then it serves and is the next models' baseline.
    """
    whole = current.whole
    counted = [e.inputs.whole.metrics for e in earlier[-settings.pool_spans :] if not e.refused]
    before = [metrics["auc"] for metrics in (*counted, whole.baseline) if "auc" in metrics]
    examples = Labelled(whole.num_examples, whole.num_of_rarer_label)
    found = too_good(GATE, whole.metrics.get("auc", math.nan), examples, before, settings.max_auc_rise)
    if found is not None:
        yield found


def becomes_anchor(current: QualityInputs, found: Sequence[Finding] = ()) -> bool:
    """Returns whether a candidate model becomes the anchor once it is pushed.

    The first model does, and one that is better beyond chance: its AUC is higher by `BETTER_THAN_ANCHOR` standard
    errors of this span alone, and its log loss is no higher. So does a model if the anchor cannot score the rows any
    more, and one that a person forces past a refusal by the anchor's bounds: the loss is then accepted and recorded,
    and later losses are measured from there.

    Args:
      current: The gate's inputs.
      found: The gate's findings.
    """
    if current.anchor is None or current.anchor.problem:
        return True
    if any(finding.severity == "refuse" and finding.rule in ANCHOR_RULES for finding in found):
        return True
    auc, logloss = (current.anchor.differences.get(name) for name in ("auc", "logloss"))
    if auc is None or logloss is None or current.whole.num_of_rarer_label < MIN_POSITIVES:
        return False
    return auc.estimate > BETTER_THAN_ANCHOR * auc.standard_error and logloss.estimate <= 0


def _against_anchor(current: QualityInputs, earlier: Sequence[EarlierSpan], settings: Quality) -> Iterator[Finding]:
    """Compares the candidate model with the anchor, pooled over this span and those before it."""
    anchor = current.anchor
    if anchor is None:
        return
    size = current.whole.num_examples
    if anchor.problem:
        sentence = (
            f"the candidate model is not held against the anchor, and takes its place once pushed: {anchor.problem}"
        )
        yield Finding(GATE, "quality.max_auc_loss", "cannot_judge", "anchor", None, None, size, sentence)
        return
    than = f"the anchor's{'' if anchor.version is None else f' (version {anchor.version})'}"
    bounds = {
        "auc": (ANCHOR_RULES[0], settings.max_auc_loss),
        "logloss": (ANCHOR_RULES[1], settings.max_logloss_rise * anchor.metrics.get("logloss", 0.0)),
    }
    for name, (rule, bound) in bounds.items():
        words = f"{name} may be worse than {than} by at most {bound:.4g}, all days since its push together"
        before = [
            e.inputs.anchor.differences.get(name) if _has_enough(e.inputs.whole) else None
            for e in _counted(current, earlier)
            if e.inputs.anchor is not None and e.inputs.anchor.model_uri == anchor.model_uri
        ]
        own = anchor.differences.get(name) if _has_enough(current.whole) else None
        yield from _judged(_Pooling(name, rule, bound, words, size, settings.pool_spans), own, before)


def _against_serving(
    current: QualityInputs, earlier: Sequence[EarlierSpan], settings: Quality, evaluation: Evaluation
) -> Iterator[Finding]:
    """Pools the rules that one span cannot judge: `max_worsening` below half the width of the change's interval.

    This applies to small slices as to all examples: a loss in a country with few rows a day is detectable over several
    days.
    """
    for place, measured in sorted(current.slices.items()):
        thresholds = evaluation.slice_thresholds if place else evaluation.thresholds
        for metric, rule in thresholds.items():
            own = _change(measured, metric)
            if rule.max_worsening is None or own is None or _HALF_WIDTH * own.standard_error <= rule.max_worsening:
                continue
            key = f"evaluation.{'slice_' if place else ''}thresholds.{metric}.max_worsening"
            subject = f"{metric} where {place}" if place else metric
            most = f"at most {rule.max_worsening:g} in the mean of spans"
            words = f"{subject} may be worse than the serving model's by {most}"
            before = [
                _change(e.inputs.slices[place], metric) if place in e.inputs.slices else None
                for e in _counted(current, earlier)
            ]
            pooling = _Pooling(subject, key, rule.max_worsening, words, measured.num_examples, settings.pool_spans)
            found = list(_judged(pooling, own if _has_enough(measured, bool(place)) else None, before))
            yield from (f for f in found if f.severity == "refuse" or not place)  # other rules report slices already


def _counted(current: QualityInputs, earlier: Sequence[EarlierSpan]) -> list[EarlierSpan]:
    """Returns the earlier spans whose differences count.

    A refused model's difference counts only if the candidate model has the same config and code: another config or
    code may be the repair.
    """
    return [e for e in earlier if not e.refused or e.inputs.recipe == current.recipe]


def _has_enough(measured: EvaluationResult, is_slice: bool = False) -> bool:
    """Returns whether a standard error is reliable; slices need fewer examples, since they are pooled over spans."""
    return measured.num_of_rarer_label >= (MIN_SLICE_POSITIVES if is_slice else MIN_POSITIVES)


def _change(measured: EvaluationResult, metric: str) -> PairedDifference | None:
    """Returns the candidate model's metric minus the baseline's; None unless it and its standard error are finite."""
    change = measured.changes.get(metric)
    if change is None or not (math.isfinite(change.value) and math.isfinite(change.standard_error)):
        return None
    return PairedDifference(change.value, change.standard_error)


@dataclasses.dataclass(frozen=True)
class _Pooling:
    """A bound on a difference that is pooled over spans.

    Attributes:
      subject: The metric, with the slice if there is one.
      rule: The config's key of the bound.
      bound: The largest worsening allowed.
      words: The bound as text.
      rows: The number of this span's rows.
      num_spans: The largest number of spans pooled.
    """

    subject: str
    rule: str
    bound: float
    words: str
    rows: int
    num_spans: int


def _judged(
    pooling: _Pooling, own: PairedDifference | None, before: Sequence[PairedDifference | None]
) -> Iterator[Finding]:
    """Judges a bound by the pooled differences of several spans.

    A refusal requires a loss above the bound on this span too, so that after a repair the earlier spans do not refuse
    the model.
    """
    rule, bound, words, rows = pooling.rule, pooling.bound, f"{pooling.words} ({pooling.rule})", pooling.rows
    if own is None:
        sentence = f"{words}: cannot be judged, with too few examples of either label"
        yield Finding(GATE, rule, "cannot_judge", pooling.subject, None, bound, rows, sentence)
        return
    sign = 1 if HIGHER_IS_BETTER[kind_of(pooling.subject.split(" ", 1)[0])] else -1
    known = [difference for difference in before if difference is not None]
    pooled = pool([*known, own][-pooling.num_spans :])
    loss, own_loss, half_width = -sign * pooled.estimate, -sign * own.estimate, BEYOND_CHANCE * pooled.standard_error
    if min(loss, own_loss) > bound and loss > half_width:
        sentence = (
            f"{words}. Received: worse by {own_loss:.4f} on this span's {rows:,} examples, and by {loss:.4f} ± "
            f"{half_width:.4f} over {_spans(pooled.num_spans)}"
        )
        yield Finding(GATE, rule, "refuse", pooling.subject, loss, bound, rows, sentence)
    elif half_width > bound:
        sentence = (
            f"{words}: so little cannot be told from chance yet, only more than {half_width:.4f}, by "
            f"{pooled.num_spans} of {pooling.num_spans} spans"
        )
        yield Finding(GATE, rule, "cannot_judge", pooling.subject, loss, bound, rows, sentence)


@dataclasses.dataclass(frozen=True)
class _Step:
    """How much worse a model was on its first unseen span than on the span it was trained on.

    Attributes:
      calibration: The increase of the absolute value of its log calibration.
      logloss: The increase of its log loss, as a share of the entropy of the span's label.
    """

    calibration: float
    logloss: float


def _on_unseen_spans(
    current: QualityInputs, span: int, earlier: Sequence[EarlierSpan], settings: Quality
) -> Iterator[Finding]:
    """Refuses a model if earlier models of the same config and code were worse on unseen spans than on their own.

    If the model that serves was trained with another config or code, its losses only cause a warning: they must not
    block a repair.
    """
    if not current.serving_uri:
        return
    by_recipe = _steps(current, span, earlier, settings)
    rows = current.whole.num_examples
    steps = by_recipe.get(current.recipe, [])
    if len(steps) < settings.min_spans:
        sentence = (
            "whether models of this config and code keep their quality on unseen spans cannot be judged yet: "
            f"{len(steps)} of {settings.min_spans} spans (quality.min_spans)"
        )
        yield Finding(GATE, "quality.min_spans", "cannot_judge", "unseen spans", None, None, rows, sentence)
    for subject, rule, value, bound, measured in _worse_steps(steps, settings):
        sentence = (
            f"models of this config and code: {measured}. A change of either is judged anew; "
            "`wdr run --force-push --reason TEXT` pushes this one"
        )
        yield Finding(GATE, rule, "refuse", subject, value, bound, rows, sentence)
    recipe = next((e.inputs.recipe for e in earlier if e.inputs.model_uri == current.serving_uri), current.recipe)
    if recipe != current.recipe:
        for subject, rule, value, bound, measured in _worse_steps(by_recipe.get(recipe, []), settings):
            sentence = (
                f"the model that serves, made by another config or code: {measured}. If the candidate model is not "
                "pushed, `wdr models rollback --reason TEXT` may be right"
            )
            yield Finding(GATE, rule, "warn", subject, value, bound, rows, sentence)


def _worse_steps(steps: Sequence[_Step], settings: Quality) -> Iterator[tuple[str, str, float, float, str]]:
    """Yields what was worse on unseen spans beyond chance: the metric, its rule, the value, the bound and a text."""
    if len(steps) < settings.min_spans:
        return
    bounds = {
        "calibration": ("quality.max_unseen_calibration_loss", settings.max_unseen_calibration_loss),
        "logloss": ("quality.max_unseen_logloss_rise", settings.max_unseen_logloss_rise),
    }
    for name, (rule, bound) in bounds.items():
        values = [getattr(step, name) for step in steps]
        mean = statistics.fmean(values)
        if mean > bound and mean > BEYOND_CHANCE * statistics.stdev(values) / math.sqrt(len(values)):
            words = (
                f"{name} may be worse on the first unseen span than on a model's own by at most {bound:.0%} "
                f"in the mean ({rule}). Received: {mean:.1%} over {_spans(len(values))}"
            )
            yield name, rule, mean, bound, words


def _steps(
    current: QualityInputs, span: int, earlier: Sequence[EarlierSpan], settings: Quality
) -> dict[str, list[_Step]]:
    """Returns, by recipe, the steps of the models that first served within the last spans."""
    own = {e.inputs.model_uri: e for e in earlier}
    met: set[str] = set()
    found: dict[str, list[_Step]] = {}
    for number, inputs in [*((e.span, e.inputs) for e in earlier), (span, current)]:
        pushed = own.get(inputs.serving_uri)
        if pushed is None or pushed.span >= number or inputs.serving_uri in met:
            continue
        met.add(inputs.serving_uri)
        step = _step(pushed.inputs.whole.metrics, inputs.whole.baseline)
        if step is not None and number > span - settings.pool_spans:
            found.setdefault(pushed.inputs.recipe, []).append(step)
    return found


def _step(own: Mapping[str, float], unseen: Mapping[str, float]) -> _Step | None:
    """Returns the step between two measurements of a model; None if one of them lacks a label."""
    names = ("calibration", "logloss", "mean_label")
    if not all(math.isfinite(metrics.get(name, math.nan)) for name in names for metrics in (own, unseen)):
        return None
    if not all(0 < metrics["mean_label"] < 1 and metrics["calibration"] > 0 for metrics in (own, unseen)):
        return None
    return _Step(
        abs(math.log(unseen["calibration"])) - abs(math.log(own["calibration"])),
        unseen["logloss"] / _entropy(unseen["mean_label"]) - own["logloss"] / _entropy(own["mean_label"]),
    )


def _entropy(rate: float) -> float:
    """Returns the log loss, in nats, of a model that predicts the mean label for every row."""
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)


def _spans(number: int) -> str:
    return "1 span" if number == 1 else f"{number} spans"
