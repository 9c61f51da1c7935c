"""What the Evaluator measured, over all examples and in each slice."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from pydantic import TypeAdapter

from components.evaluation.extractors import BELOW
from components.evaluation.row_metrics import NUM_EXAMPLES, NUM_POSITIVES, NUM_UNITS, change_error_name, error_name
from transform.config.evaluation import HIGHER_IS_BETTER, kind_of, split_slice

#: Half the width of a 95 % interval, in standard errors.
Z = 1.959964

_SHOWN = (*HIGHER_IS_BETTER, "mean_label")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number that was measured on a sample, and how far it may be chance.

    Attributes:
      value: The number; not a number where it is not defined, such as an AUC without a positive.
      standard_error: By the bootstrap; not a number where most of its replicates do not have the metric.
    """

    value: float
    standard_error: float

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval."""
        return Z * self.standard_error

    @property
    def low(self) -> float:
        """The low end of the 95 % interval."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """The high end of the 95 % interval."""
        return self.value + self.half_width


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """The metrics over some examples.

    Attributes:
      num_examples: How many there are.
      metrics: The candidate's, by name.
      baseline: The serving model's on the same examples; empty on a first run.
      changes: By metric, candidate - baseline; empty on a first run. Estimates of several spans can be pooled, since
        they are of different examples.
      errors: By metric, the standard error of the candidate's.
      baseline_errors: The same of the baseline's.
      num_positives: How many of the examples have label 1 and a weight.
      num_units: Of how many units of the bootstrap the examples are, such as users.
    """

    num_examples: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    changes: Mapping[str, Estimate]
    errors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    baseline_errors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    num_positives: int = 0
    num_units: int = 0

    def without_baseline(self) -> EvaluationResult:
        """The same of the candidate alone."""
        return dataclasses.replace(self, baseline={}, changes={}, baseline_errors={})

    @property
    def num_of_rarer_label(self) -> int:
        """How many examples have the label that fewer have."""
        return min(self.num_positives, self.num_examples - self.num_positives)

    def candidate(self, name: str) -> Estimate:
        """The candidate's metric; raises KeyError if it was not measured."""
        return Estimate(self.metrics[name], self.errors.get(name, math.nan))

    def serving(self, name: str) -> Estimate:
        """The baseline's metric; raises KeyError if it was not measured."""
        return Estimate(self.baseline[name], self.baseline_errors.get(name, math.nan))


def read_measured(evaluation_uri: str) -> dict[str, EvaluationResult]:
    """Reads the metrics, by slice: `""` is the whole, others are such as `country = US` and `age_days < 7`."""
    return {_slice_name(record): _measured(record) for record in tfma.load_metrics(evaluation_uri)}


def _measured(record: tfma.MetricsForSlice) -> EvaluationResult:
    values: dict[tuple[str, bool], dict[str, float]] = {}
    for entry in record.metric_keys_and_values:
        key = entry.key
        of_model = values.setdefault((key.model_name or tfma.CANDIDATE_KEY, key.is_diff), {})
        of_model[key.name] = entry.value.double_value.value
    candidate = values[tfma.CANDIDATE_KEY, False]
    baseline = values.get((tfma.BASELINE_KEY, False), {})
    differences = values.get((tfma.CANDIDATE_KEY, True), {})
    measured = (n for n in candidate if kind_of(n) in _SHOWN and error_name(n) in candidate)
    names = sorted(measured, key=lambda n: _SHOWN.index(kind_of(n)))
    return EvaluationResult(
        num_examples=int(candidate[NUM_EXAMPLES]),
        metrics={name: candidate[name] for name in names},
        baseline={name: baseline[name] for name in names if name in baseline},
        changes={
            name: Estimate(candidate[name] - baseline[name], differences[change_error_name(name)])
            for name in names
            if name in baseline and kind_of(name) != "mean_label"
        },
        errors={name: candidate[error_name(name)] for name in names},
        baseline_errors={name: baseline[error_name(name)] for name in names if name in baseline},
        num_positives=int(candidate[NUM_POSITIVES]),
        num_units=int(candidate[NUM_UNITS]),
    )


def to_plain(measured: Mapping[str, EvaluationResult]) -> dict[str, Any]:
    """Measurements by slice as plain JSON; what is not a number is null."""
    plain: dict[str, Any] = json.loads(_ADAPTER.dump_json(dict(measured)))
    return plain


def from_plain(plain: Mapping[str, Any]) -> dict[str, EvaluationResult]:
    """Reads what `to_plain` wrote; raises pydantic's ValidationError, a ValueError, if it did not."""
    return _ADAPTER.validate_python(_with_nan(dict(plain)))


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nan(of_key) for key, of_key in value.items()}
    return math.nan if value is None else value


_ADAPTER = TypeAdapter(dict[str, EvaluationResult])


def _slice_name(record: tfma.MetricsForSlice) -> str:
    key = tfma.slicer.deserialize_slice_key(record.slice_key)
    return ", ".join(_condition(column, value) for column, value in key)


def _condition(column: str, value: Any) -> str:
    if split_slice(column)[1] is None:
        return f"{column} = {value}"
    return column if value == BELOW else column.replace("<", "≥")


def interval(estimate: Estimate) -> str:
    """The interval of a change as a sentence has it."""
    return f"{estimate.low:+.4f} to {estimate.high:+.4f}"


def change_words(changes: Mapping[str, Estimate], name: str) -> str:
    """What stands behind the baseline's value: the interval of a metric's change, where there is one."""
    return f", change {interval(changes[name])}" if name in changes else ""
