"""What the Evaluator measured."""

from __future__ import annotations

import tensorflow_model_analysis as tfma

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
            if not key.is_diff:  # a model that is evaluated alone has no name
                by_model.setdefault(key.model_name or CANDIDATE, {})[key.name] = entry.value.double_value.value
    return by_model


def missed_thresholds(evaluation_uri: str) -> list[str]:
    """The metrics that missed a threshold of the Evaluator's, each with its value and its threshold.

    Args:
      evaluation_uri: The ModelEvaluation artifact.
    """
    found = []
    for in_slice in tfma.load_validation_result(evaluation_uri).metric_validations_per_slice:
        key = tfma.slicer.deserialize_slice_key(in_slice.slice_key)
        place = "".join(f" where {column} = {value}" for column, value in key)
        for failure in in_slice.failures:
            value = failure.metric_value.double_value.value
            threshold = " ".join(str(failure.metric_threshold).split())
            found.append(f"{failure.metric_key.name}{place}: {value:.4f} ({threshold})")
    return found
