"""The rule on the reference models by slice: a simple model that is better in a slice shows what a lead hides.

A candidate model that is better than an old baseline, over all examples and in each slice, may still be wrong in
one: the reference models are fitted on the same days as the candidate model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from components.evaluation.results import Estimate
from components.gate_records import Finding
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE, is_far_worse, size_words
from transform.config.evaluation import HIGHER_IS_BETTER, kind_of
from transform.files.reference_scores import reference_words

#: The number of other slices that a sentence names.
_MAX_NAMED = 8


class _Loss(NamedTuple):
    """By how much the candidate model is worse than a reference model in a slice.

    Attributes:
      place: The slice.
      reference: The reference model.
      amount: The loss of the metric, above 0, with its standard error.
    """

    place: str
    reference: str
    amount: Estimate


def against_references(case: Case) -> Iterator[Finding]:
    """Warns, for each metric, of the slices in which the model is worse than a reference model, beyond chance.

    The bound is that of the slices, `max_worsening`. It does not refuse: what serves may be worse there still.
    """
    for metric, rule in case.evaluation.slice_thresholds.items():
        if rule.max_worsening is None:
            continue
        found = _losses(case, metric, rule.max_worsening)
        if not found:
            continue
        worst, *others = sorted(found.values(), key=lambda loss: -loss.amount.value)
        key = f"evaluation.slice_thresholds.{metric}.max_worsening"
        measured = case.current.measured[worst.place]
        sentence = (
            f"{metric} where {worst.place} may be worse than the reference models' by at most {rule.max_worsening:g}, "
            f"beyond chance ({key}). Received: worse than the {reference_words(worst.reference)}'s by "
            f"{worst.amount.value:.4f} ± {worst.amount.half_width:.4f}, on {size_words(measured)}"
        )
        if metric in measured.changes:
            own, serving = measured.metrics[metric], measured.baseline[metric]
            sentence += f"; this model has {own:.4f}, the baseline {serving:.4f}"
        if others:
            left = f" and {len(others) - _MAX_NAMED} others" if len(others) > _MAX_NAMED else ""
            sentence += f"; likewise where {', '.join(loss.place for loss in others[:_MAX_NAMED])}{left}"
        subject = f"{metric} where {worst.place}"
        value, rows = worst.amount.value, measured.num_examples
        yield Finding(GATE, key, "warn", subject, value, rule.max_worsening, rows, sentence)


def _losses(case: Case, metric: str, margin: float) -> dict[str, _Loss]:
    """Returns, by slice, the largest loss that is beyond the margin and beyond chance."""
    sign = -1 if HIGHER_IS_BETTER[kind_of(metric)] else 1
    found: dict[str, _Loss] = {}
    for reference, of_slices in case.current.references_by_slice.items():
        for place, differences in of_slices.items():
            if metric not in differences or place not in case.current.measured:
                continue
            difference = differences[metric]
            loss = _Loss(place, reference, Estimate(sign * difference.estimate, difference.standard_error))
            if is_far_worse(loss.amount, margin) and (
                place not in found or loss.amount.value > found[place].amount.value
            ):
                found[place] = loss
    return found
