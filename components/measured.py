"""What the Evaluator measured, and in words what a model missed: the same as the Evaluator's blessing says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluation.changes import bound_name, good_end
from components.evaluation.extractors import BELOW
from components.evaluation.slice_margins import margin_name
from transform.evaluation_settings import HIGHER_IS_BETTER, Evaluation, SliceThreshold, kind_of, split_slice

_SHOWN = (*HIGHER_IS_BETTER, "mean_label")


@dataclasses.dataclass(frozen=True)
class Measured:
    """The metrics over some examples.

    Attributes:
      num_examples: How many there are.
      metrics: The candidate's, by name.
      baseline: The serving model's on the same examples; empty on a first run.
      changes: By metric, the low and the high end of the 95 % interval of candidate - baseline; empty on a first run.
      margins: By how much metrics, and ends of changes, keep within the bounds of the slices, by the margin's name.
    """

    num_examples: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    changes: Mapping[str, tuple[float, float]]
    margins: Mapping[str, float] = dataclasses.field(default_factory=dict)


def read_measured(evaluation_uri: str) -> dict[str, Measured]:
    """Reads the metrics, by slice: `""` is the whole, others are such as `country = US` and `age_days < 7`."""
    found = {}
    for record in tfma.load_metrics(evaluation_uri):
        values: dict[tuple[str, bool], dict[str, float]] = {}
        for entry in record.metric_keys_and_values:
            key = entry.key
            of_model = values.setdefault((key.model_name or tfma.CANDIDATE_KEY, key.is_diff), {})
            of_model[key.name] = entry.value.double_value.value
        candidate = values[tfma.CANDIDATE_KEY, False]
        baseline = values.get((tfma.BASELINE_KEY, False), {})
        differences = values.get((tfma.CANDIDATE_KEY, True), {})
        names = sorted((n for n in candidate if kind_of(n) in _SHOWN), key=lambda n: _SHOWN.index(kind_of(n)))
        found[_slice_name(record)] = Measured(
            num_examples=int(candidate["example_count"]),
            metrics={name: candidate[name] for name in names},
            baseline={name: baseline[name] for name in names if name in baseline},
            changes={
                name: (differences[bound_name(name, "low")], differences[bound_name(name, "high")])
                for name in names
                if bound_name(name, "low") in differences
            },
            margins={n: v for n, v in {**candidate, **differences}.items() if n.endswith(margin_name(""))},
        )
    return found


def _slice_name(record: tfma.MetricsForSlice) -> str:
    key = tfma.slicer.deserialize_slice_key(record.slice_key)
    return ", ".join(_condition(column, value) for column, value in key)


def _condition(column: str, value: Any) -> str:
    if split_slice(column)[1] is None:
        return f"{column} = {value}"
    return column if value == BELOW else column.replace("<", "≥")


def missed_thresholds(measured: Mapping[str, Measured], evaluation: Evaluation) -> list[str]:
    """A sentence for each threshold that the candidate missed: first over all examples, then in the slices."""
    sentences: list[str] = []
    for name, threshold in evaluation.thresholds.items():
        sentences += _missed(name, "", threshold, measured[""])
    for slice_name, in_slice in sorted(measured.items()):
        if not slice_name:
            continue
        for name, rule in evaluation.slice_thresholds.items():
            margins = (margin_name(name), margin_name(bound_name(name, good_end(name))))
            if any(in_slice.margins.get(margin, 0.0) < 0 for margin in margins):
                place = f" where {slice_name} ({in_slice.num_examples:,} examples)"
                sentences += _missed(name, place, rule, in_slice)
    return sentences


def _missed(name: str, place: str, rule: SliceThreshold, measured: Measured) -> Iterator[str]:
    value = measured.metrics[name]
    if math.isnan(value):
        yield f"{name} is not a number"
        return
    if rule.min is not None and value < rule.min:
        yield f"{name}{place} must be at least {rule.min:g}. Received: {value:.4f}{_as_low(measured, name, rule.min)}"
    if rule.max is not None and value > rule.max:
        leak = ": too good to be true, as if a feature knew the label" if HIGHER_IS_BETTER[kind_of(name)] else ""
        yield f"{name}{place} must be at most {rule.max:g}. Received: {value:.4f}{leak}"
    if rule.max_worsening is None or name not in measured.changes:
        return
    low, high = measured.changes[name]
    worsening = -high if good_end(name) == "high" else low
    if worsening > rule.max_worsening or (math.isnan(worsening) and not place):
        yield (
            f"{name}{place} may be worse than the serving model's by at most {rule.max_worsening:g}, beyond chance. "
            f"Received: {value:.4f} after {measured.baseline[name]:.4f}, a change of {interval(low, high)}"
        )


def _as_low(measured: Measured, name: str, lowest: float) -> str:
    """Where the serving model misses the bound too, the fault is not the candidate's."""
    serving = measured.baseline.get(name, lowest)
    if serving >= lowest or not HIGHER_IS_BETTER[kind_of(name)]:
        return ""
    return f", and {serving:.4f} by the serving model: the cause may lie in the examples or their labels"


def interval(low: float, high: float) -> str:
    """The interval of a change as a sentence has it."""
    return f"{low:+.4f} to {high:+.4f}"


def change_words(changes: Mapping[str, tuple[float, float]], name: str) -> str:
    """What stands behind the baseline's value: the interval of a metric's change, where there is one."""
    return f", change {interval(*changes[name])}" if name in changes else ""
