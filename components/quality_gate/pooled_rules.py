"""The rules on differences pooled over spans: from the anchor, and from the model that serves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import Case, EarlierSpan
from components.quality_gate.judgement import GATE
from components.quality_gate.pooling import judged

#: With fewer examples of a label, a standard error is not reliable. A slice needs fewer: its differences are pooled
#: over several spans.
MIN_POSITIVES, MIN_SLICE_POSITIVES = 30, 10

#: The config's keys of the bounds relative to the anchor.
ANCHOR_RULES = ("quality.max_auc_loss", "quality.max_logloss_rise")

#: Half the width of a 95 % interval, in standard errors; the rules on one span use that interval.
_HALF_WIDTH = 1.96


def against_anchor(case: Case) -> Iterator[Finding]:
    """Compares the candidate model with the anchor, pooled over this span and those before it."""
    current, settings, anchor = case.current, case.settings, case.current.anchor
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
            for e in _counted(case)
            if e.inputs.anchor is not None and e.inputs.anchor.model_uri == anchor.model_uri
        ]
        own = anchor.differences.get(name) if _has_enough(current.whole) else None
        yield from judged(name, rule, bound, words, rows=size, num_spans=settings.pool_spans, own=own, before=before)


def against_serving(case: Case) -> Iterator[Finding]:
    """Pools the rules that one span cannot judge: `max_worsening` below half the width of the change's interval.

    This applies to small slices as to all examples: a loss in a country with few rows a day is detectable over several
    days.
    """
    for place, measured in sorted(case.current.measured.items()):
        thresholds = case.evaluation.slice_thresholds if place else case.evaluation.thresholds
        for metric, rule in thresholds.items():
            own = _change(measured, metric)
            if rule.max_worsening is None or own is None or _HALF_WIDTH * own.standard_error <= rule.max_worsening:
                continue
            key = f"evaluation.{'slice_' if place else ''}thresholds.{metric}.max_worsening"
            subject = f"{metric} where {place}" if place else metric
            most = f"at most {rule.max_worsening:g} in the mean of spans"
            words = f"{subject} may be worse than the baseline's by {most}"
            before = [
                _change(of_place, metric)
                for e in _counted(case)
                if (of_place := e.inputs.measured.get(place)) is not None and _has_enough(of_place, bool(place))
            ]
            own = own if _has_enough(measured, bool(place)) else None
            rows, num_spans = measured.num_examples, case.settings.pool_spans
            found = judged(
                subject, key, rule.max_worsening, words, rows=rows, num_spans=num_spans, own=own, before=before
            )
            yield from (f for f in found if f.severity == "refuse" or not place)  # other rules report slices already


def _counted(case: Case) -> list[EarlierSpan]:
    """Returns the earlier spans whose differences count.

    A refused model's difference counts only if the candidate model has the same config and code: another config or
    code may be the repair.
    """
    return [e for e in case.earlier if not e.refused or e.inputs.recipe == case.current.recipe]


def _has_enough(measured: EvaluationResult, is_slice: bool = False) -> bool:
    """Returns whether a standard error is reliable; slices need fewer examples, since they are pooled over spans."""
    return measured.num_of_rarer_label >= (MIN_SLICE_POSITIVES if is_slice else MIN_POSITIVES)


def _change(measured: EvaluationResult, metric: str) -> PairedDifference | None:
    """Returns the candidate model's metric minus the baseline's; None unless it and its standard error are finite."""
    change = measured.changes.get(metric)
    if change is None or not (math.isfinite(change.value) and math.isfinite(change.standard_error)):
        return None
    return PairedDifference(change.value, change.standard_error)
