"""The Evaluator's results, over all examples and in each slice."""

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
from transform.documents import FloatOrNaN

#: Half the width of a 95 % interval, in standard errors.
Z = 1.959964

_SHOWN = (*HIGHER_IS_BETTER, "mean_label")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value that was measured on a sample, with its standard error.

    Attributes:
      value: The value; NaN if it is undefined, such as an AUC without a positive.
      standard_error: The bootstrap's standard error; NaN if the metric is undefined for most replicates.
    """

    value: FloatOrNaN
    standard_error: FloatOrNaN

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
    """The metrics over all examples, or over those of a slice.

    Attributes:
      num_examples: The number of examples.
      metrics: The candidate model's metrics by name.
      baseline: The baseline's metrics on the same examples; empty on a first run.
      changes: By metric, candidate - baseline; empty on a first run. Estimates of several spans can be pooled, since
        they are measured on different examples.
      errors: The standard errors of the candidate model's metrics.
      baseline_errors: The standard errors of the baseline's metrics.
      num_positives: The number of examples with label 1 and a weight above 0.
      num_units: The number of bootstrap units of the examples, such as users.
    """

    num_examples: int
    metrics: Mapping[str, FloatOrNaN]
    baseline: Mapping[str, FloatOrNaN]
    changes: Mapping[str, Estimate]
    errors: Mapping[str, FloatOrNaN] = dataclasses.field(default_factory=dict)
    baseline_errors: Mapping[str, FloatOrNaN] = dataclasses.field(default_factory=dict)
    num_positives: int = 0
    num_units: int = 0

    def without_baseline(self) -> EvaluationResult:
        """Returns the result of the candidate model only."""
        return dataclasses.replace(self, baseline={}, changes={}, baseline_errors={})

    @property
    def num_of_rarer_label(self) -> int:
        """The number of examples with the rarer label."""
        return min(self.num_positives, self.num_examples - self.num_positives)

    def candidate(self, name: str) -> Estimate:
        """Returns the candidate model's metric; raises KeyError if it was not measured."""
        return Estimate(self.metrics[name], self.errors.get(name, math.nan))

    def serving(self, name: str) -> Estimate:
        """Returns the baseline's metric; raises KeyError if it was not measured."""
        return Estimate(self.baseline[name], self.baseline_errors.get(name, math.nan))


def read_measured(evaluation_uri: str) -> dict[str, EvaluationResult]:
    """Reads the metrics by slice: `""` is all examples, other names are such as `country = US` or `age_days < 7`."""
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
    """Converts results by slice to plain JSON; NaN becomes null."""
    plain: dict[str, Any] = json.loads(_ADAPTER.dump_json(dict(measured)))
    return plain


def from_plain(plain: Mapping[str, Any]) -> dict[str, EvaluationResult]:
    """Converts the output of `to_plain` back; raises pydantic's ValidationError, a ValueError, for other input."""
    return _ADAPTER.validate_python(dict(plain))


_ADAPTER = TypeAdapter(dict[str, EvaluationResult])


def _slice_name(record: tfma.MetricsForSlice) -> str:
    key = tfma.slicer.deserialize_slice_key(record.slice_key)
    return ", ".join(_condition(column, value) for column, value in key)


def _condition(column: str, value: Any) -> str:
    if split_slice(column)[1] is None:
        return f"{column} = {value}"
    return column if value == BELOW else column.replace("<", "≥")


def interval(estimate: Estimate) -> str:
    """Returns the text of a change's 95 % interval."""
    return f"{estimate.low:+.4f} to {estimate.high:+.4f}"


def change_words(changes: Mapping[str, Estimate], name: str) -> str:
    """Returns the text after the baseline's value: the interval of a metric's change; empty if there is none."""
    return f", change {interval(changes[name])}" if name in changes else ""
