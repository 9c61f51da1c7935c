"""What the Evaluator measured, and which of its thresholds the candidate missed."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

CANDIDATE, BASELINE = "candidate", "baseline"


def overall_metrics(evaluation_uri: str) -> dict[str, dict[str, float]]:
    """The metrics over all examples, by model (`candidate` and, where there was one, `baseline`), then by name.

    Args:
      evaluation_uri: The ModelEvaluation artifact.
    """
    by_model: dict[str, dict[str, float]] = {}
    for record in tfma.load_metrics(evaluation_uri):
        if record.slice_key.single_slice_keys:
            continue
        for entry in record.metric_keys_and_values:
            key = entry.key
            # A model that is evaluated alone has no name.
            if not key.is_diff and entry.value.HasField("double_value"):
                by_model.setdefault(key.model_name or CANDIDATE, {})[key.name] = entry.value.double_value.value
    return by_model


def missed_thresholds(evaluation_uri: str) -> list[str]:
    """A sentence for each threshold of the Evaluator's that the candidate missed.

    Args:
      evaluation_uri: The ModelEvaluation artifact.
    """
    sentences = []
    for in_slice in tfma.load_validation_result(evaluation_uri).metric_validations_per_slice:
        key = tfma.slicer.deserialize_slice_key(in_slice.slice_key)
        place = "".join(f" where {column} = {value}" for column, value in key)
        for failure in in_slice.failures:
            rule = " and ".join(_rules(failure.metric_threshold))
            value = failure.metric_value.double_value.value
            sentences.append(f"{failure.metric_key.name}{place} must be {rule}. Received: {value:.4f}")
    return sentences


def _rules(threshold: config_pb2.MetricThreshold) -> Iterator[str]:
    value, change = threshold.value_threshold, threshold.change_threshold
    if value.HasField("lower_bound"):
        yield f"at least {value.lower_bound.value:g}"
    if value.HasField("upper_bound"):
        yield f"at most {value.upper_bound.value:g}"
    if change.HasField("absolute"):
        side = "at least" if change.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER else "at most"
        yield f"{side} {change.absolute.value:g} above the serving model's"
