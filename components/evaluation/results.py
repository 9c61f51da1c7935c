"""The Evaluator's results, over all examples and in each slice, as plain values; `metrics_files` reads them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Final, Literal

from pydantic.dataclasses import dataclass as document_dataclass

from components import storage
from transform.config.evaluation import largest_value
from transform.documents import CONFIG, Document, FloatOrNaN

#: In a ModelEvaluation artifact: the results as a `Measured`, beside TFMA's own files.
MEASURED_FILE = "measured.json"

#: The Evaluator's inputs that are models: the candidate model, or an earlier one, and what it is compared with.
MODEL, BASELINE = "model", "baseline_model"

#: Half the width of a 95 % interval, in standard errors.
Z = 1.959964


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
class MetricEstimate(Estimate):
    """A metric's value, whose interval stays within the metric's range, such as 0 to 1 of an AUC.

    Attributes:
      largest: The largest value that the metric can have; the smallest is 0.
    """

    largest: float

    @property
    def low(self) -> float:
        return max(super().low, 0.0)  # NaN stays NaN, as the first argument

    @property
    def high(self) -> float:
        return min(super().high, self.largest)


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
      num_negatives: The number of examples with label 0 and a weight above 0; None in a result of an earlier release.
    """

    num_examples: int
    metrics: Mapping[str, FloatOrNaN]
    baseline: Mapping[str, FloatOrNaN]
    changes: Mapping[str, Estimate]
    errors: Mapping[str, FloatOrNaN] = dataclasses.field(default_factory=dict)
    baseline_errors: Mapping[str, FloatOrNaN] = dataclasses.field(default_factory=dict)
    num_positives: int = 0
    num_units: int = 0
    num_negatives: int | None = None

    def without_baseline(self) -> EvaluationResult:
        """Returns the result of the candidate model only."""
        return dataclasses.replace(self, baseline={}, changes={}, baseline_errors={})

    @property
    def num_of_rarer_label(self) -> int:
        """The number of examples with the rarer label, and a weight above 0."""
        return min(self.num_positives, self.negatives)

    @property
    def negatives(self) -> int:
        """`num_negatives`; in a result of an earlier release, all examples that are not among the positives."""
        return self.num_examples - self.num_positives if self.num_negatives is None else self.num_negatives

    def candidate(self, name: str) -> MetricEstimate:
        """Returns the candidate model's metric; raises KeyError if it was not measured."""
        return MetricEstimate(self.metrics[name], self.errors.get(name, math.nan), largest_value(name))

    def serving(self, name: str) -> MetricEstimate:
        """Returns the baseline's metric; raises KeyError if it was not measured."""
        return MetricEstimate(self.baseline[name], self.baseline_errors.get(name, math.nan), largest_value(name))


@document_dataclass(frozen=True, config=CONFIG)
class Measured:
    """The results of one evaluation.

    Attributes:
      slices: The results by slice; `""` is all examples. Empty if no model was measured.
      problems: Why a model could not be measured, as a sentence, by the Evaluator's input, `model` or `baseline_model`.
      schema_version: The version of this dataclass's schema.
    """

    slices: Mapping[str, EvaluationResult]
    problems: Mapping[str, str] = dataclasses.field(default_factory=dict)
    schema_version: Literal[1] = 1


_MEASURED: Final = Document(Measured, "an evaluation's results")


def write_measured(
    evaluation_uri: str, measured: Mapping[str, EvaluationResult], problems: Mapping[str, str] | None = None
) -> None:
    """Writes the results into a ModelEvaluation artifact, for readers that do not import TFMA.

    Args:
      evaluation_uri: The artifact's folder.
      measured: The results by slice.
      problems: Why models could not be measured, as in `Measured`.
    """
    storage.write_text(
        os.path.join(evaluation_uri, MEASURED_FILE), _MEASURED.to_json(Measured(measured, problems or {}))
    )


def read_written(evaluation_uri: str) -> Measured | None:
    """Reads what `write_measured` wrote; None if there is no such file.

    Raises:
      InputError: If the file is damaged.
    """
    path = os.path.join(evaluation_uri, MEASURED_FILE)
    text = storage.read_text(path)
    return None if text is None else _MEASURED.from_json(text, path)


def interval(estimate: Estimate) -> str:
    """Returns the text of a change's 95 % interval."""
    return f"{estimate.low:+.4f} to {estimate.high:+.4f}"


def change_words(changes: Mapping[str, Estimate], name: str) -> str:
    """Returns the text after the baseline's value: the interval of a metric's change; empty if there is none."""
    return f", change {interval(changes[name])}" if name in changes else ""
