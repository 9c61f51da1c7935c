"""The decisions of the gate on quality: pure functions of what was measured of this span and of earlier ones.

Losses add up. So a candidate model is held not only against the model that serves, which is replaced every day, but
against an *anchor*: a pushed model that stays the measure until one beats it beyond chance. A day's difference from it
is uncertain by more than what must not be lost, so the differences of the last spans are pooled, each weighted by the
rows that it stands on (1 / its variance) and by how recent it is (the newest of 7 counts seven times the oldest).
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

#: A difference is beyond chance from so many standard errors on: one good day in 740. Of a rule that also asks for a
#: loss of some size fewer are refused; `python -m benchmarks.gate_replay` counts them over all rules.
BEYOND_CHANCE = 3.0

#: A model replaces the anchor from so many standard errors of one span on. Nothing else does, so that in a slow decline
#: the anchor stays: by chance a model that is no better replaces it on one day in 4,300, one that is worse more rarely.
BETTER_THAN_ANCHOR = 3.5

#: With fewer examples of a label a standard error is not to be trusted; one of several spans in a slice is.
MIN_POSITIVES, MIN_SLICE_POSITIVES = 30, 10

#: The config's keys that hold a candidate model against the anchor.
ANCHOR_RULES = ("quality.max_auc_loss", "quality.max_logloss_rise")

#: Half the width of a 95 % interval, in standard errors, by which the Evaluator judges one span.
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
    """A model that the candidate model is held against.

    Attributes:
      model_uri: The model; empty if there is none.
      version: Its version; None if it was removed.
      metrics: On this span's evaluation rows, as `metrics_of` gives them; empty if it could not score them.
      differences: By metric, the candidate model's minus its own, on the same rows.
      problem: Why it could not be measured, a sentence; empty if it could.
    """

    model_uri: str
    version: int | None = None
    metrics: dict[str, _Finite] = Field(default_factory=dict)
    differences: dict[str, PairedDifference] = Field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, config=_STRICT)
class QualityInputs:
    """What the gate on quality decides by, of one span.

    Attributes:
      model_uri: The candidate model, by the place that manifests know it by, as all models here.
      recipe: A digest of the config and the code that it was trained by.
      serving_uri: The model that serves; empty on a first run.
      measured: What the Evaluator measured of both, by slice, as `components.evaluation.results.to_plain` has it.
      anchor: The anchor; None where there is none yet.
      not_compared: Why the model that serves was not measured, a sentence; empty if it was.
    """

    model_uri: str
    recipe: str
    serving_uri: str
    measured: dict[str, Any]
    anchor: Rival | None = None
    not_compared: str = ""

    @cached_property
    def slices(self) -> dict[str, EvaluationResult]:
        """What was measured, by slice."""
        return from_plain(self.measured)

    @property
    def whole(self) -> EvaluationResult:
        """What was measured over all examples."""
        return self.slices[""]

    def to_json(self) -> dict[str, Any]:
        """As a GateRecord has them."""
        plain: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, inputs: Mapping[str, Any]) -> QualityInputs:
        """Reads what `to_json` wrote; raises pydantic's ValidationError, a ValueError, if it did not."""
        return _ADAPTER.validate_python(dict(inputs))


_ADAPTER = TypeAdapter(QualityInputs)


@dataclasses.dataclass(frozen=True)
class EarlierSpan:
    """What the gate decided by on an earlier span, and whether it refused that span's model."""

    span: int
    inputs: QualityInputs
    refused: bool


def earlier_spans(records: Iterable[GateRecord]) -> list[EarlierSpan]:
    """Earlier spans by their records, oldest first; those that had no model to judge are left out."""
    return [
        EarlierSpan(r.span, QualityInputs.from_json(r.inputs), bool(r.of_severity("refuse")))
        for r in sorted(records, key=lambda record: record.span)
        if r.inputs
    ]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Differences of some spans together.

    Attributes:
      estimate: Their weighted mean.
      standard_error: Of the mean.
      num_spans: How many spans went into it.
    """

    estimate: float
    standard_error: float
    num_spans: int


def pool(differences: Sequence[PairedDifference]) -> Pooled:
    """The weighted mean of spans' differences, oldest first, one at least.

    A span's weight is its place, 1 for the oldest, divided by its variance. Of two spans with -0.010 and -0.004, both
    with a standard error of 0.003: (1 · -0.010 + 2 · -0.004) / 3 = -0.006, and 0.003 · √(1² + 2²) / 3 = 0.0022.
    """
    if any(d.standard_error == 0 for d in differences):  # models whose scores are the same: no weight is finite
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
      current: What was measured on this span.
      span: The span.
      earlier: The same of earlier spans, oldest first.
      settings: The bounds over several spans.
      evaluation: The bounds on one span.

    Returns:
      What was found: refusals first, then what could not be judged, then warnings.
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
    """Holds the AUC against the serving model's, and against those of the last spans' models that were not refused.

    A model that is rightly much better is pushed by force once; then it serves, and the next ones are held against it.
    """
    whole = current.whole
    counted = [e.inputs.whole.metrics for e in earlier[-settings.pool_spans :] if not e.refused]
    before = [metrics["auc"] for metrics in (*counted, whole.baseline) if "auc" in metrics]
    examples = Labelled(whole.num_examples, whole.num_of_rarer_label)
    found = too_good(GATE, whole.metrics.get("auc", math.nan), examples, before, settings.max_auc_rise)
    if found is not None:
        yield found


def becomes_anchor(current: QualityInputs, found: Sequence[Finding] = ()) -> bool:
    """Whether a candidate model, once it is pushed, is the anchor.

    It is if it is the first, or better beyond chance: its AUC is higher by `BETTER_THAN_ANCHOR` standard errors of this
    span alone, and its log loss no higher. It also is where the anchor cannot score the rows any more, and where a
    person forces it past the anchor's refusal: the loss is accepted then, on record, and counts from there.

    Args:
      current: What was measured.
      found: What the gate found of it.
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
    """Holds the candidate model against the anchor, by this span and those before it."""
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
    """Pools what one span cannot tell: a `max_worsening` that is less than half of the change's interval.

    In a small slice as in the whole: what is worse in a country of a few rows a day shows over some days.
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
            yield from (f for f in found if f.severity == "refuse" or not place)  # the slices are named already


def _counted(current: QualityInputs, earlier: Sequence[EarlierSpan]) -> list[EarlierSpan]:
    """The earlier spans whose differences count.

    A refused model's difference tells of a candidate model of the same config and code, and not of one that mends them.
    """
    return [e for e in earlier if not e.refused or e.inputs.recipe == current.recipe]


def _has_enough(measured: EvaluationResult, is_slice: bool = False) -> bool:
    """Whether a standard error is to be trusted; of a slice, which stands for many, pooling makes up for some."""
    return measured.num_of_rarer_label >= (MIN_SLICE_POSITIVES if is_slice else MIN_POSITIVES)


def _change(measured: EvaluationResult, metric: str) -> PairedDifference | None:
    """The candidate's metric minus the baseline's, where it and its standard error are numbers."""
    change = measured.changes.get(metric)
    if change is None or not (math.isfinite(change.value) and math.isfinite(change.standard_error)):
        return None
    return PairedDifference(change.value, change.standard_error)


@dataclasses.dataclass(frozen=True)
class _Pooling:
    """A bound on a difference that is pooled over spans.

    Attributes:
      subject: The metric, and the slice if it is of one.
      rule: The config's key of the bound.
      bound: The largest worsening allowed.
      words: The bound in words.
      rows: How many rows this span has.
      num_spans: How many spans are pooled at most.
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
    """What the differences of some spans say of a bound.

    A refusal asks for a loss above the bound on this span too: after a repair the spans before it must not refuse it.
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
    """How much worse a model was on the first span that it had not seen than on its own.

    Attributes:
      calibration: By how much its log calibration is further from 0.
      logloss: By how much its log loss, as a share of the entropy of the span's label, is higher.
    """

    calibration: float
    logloss: float


def _on_unseen_spans(
    current: QualityInputs, span: int, earlier: Sequence[EarlierSpan], settings: Quality
) -> Iterator[Finding]:
    """Holds back a model whose predecessors, made alike, were worse on unseen spans than on their own.

    Of the model that serves, made by another config or code, it only says so: a repair must not wait for it.
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
    """What was worse on unseen spans, beyond chance: the metric, its rule, the value, the bound and words."""
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
    """By recipe, the steps of the models that served first within the last spans."""
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
    """The step between two measurements of a model; None if one of them lacks a label."""
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
    """The log loss of a model that gives every row the mean label, in nats."""
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)


def _spans(number: int) -> str:
    return "1 span" if number == 1 else f"{number} spans"
