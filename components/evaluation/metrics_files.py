"""Reads the Evaluator's results from its output."""

from __future__ import annotations

import tensorflow_model_analysis as tfma

from components.evaluation.results import Estimate, EvaluationResult
from components.evaluation.row_metrics import (
    NUM_EXAMPLES,
    NUM_NEGATIVES,
    NUM_POSITIVES,
    NUM_UNITS,
    change_error_name,
    error_name,
)
from components.evaluation.scoring.columns import slice_words
from transform.config.evaluation import HIGHER_IS_BETTER, kind_of

_SHOWN = (*HIGHER_IS_BETTER, "mean_label")


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
        num_negatives=int(candidate[NUM_NEGATIVES]) if NUM_NEGATIVES in candidate else None,
    )


def _slice_name(record: tfma.MetricsForSlice) -> str:
    key = tfma.slicer.deserialize_slice_key(record.slice_key)
    return ", ".join(slice_words(column, value) for column, value in key)
