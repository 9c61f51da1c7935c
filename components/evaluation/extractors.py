"""TFMA's extractors, with slices by a bound of a numeric feature, and without the features that no metric reads."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from transform.evaluation_settings import split_slice

#: The values of a slice's name that has a bound, such as `age_days < 7`.
BELOW, NOT_BELOW = "true", "false"

_KEPT = (
    constants.INPUT_KEY,
    constants.LABELS_KEY,
    constants.EXAMPLE_WEIGHTS_KEY,
    constants.PREDICTIONS_KEY,
    constants.SLICE_KEY_TYPES_KEY,
)


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[Any]:
    """What TFX's Evaluator looks for in its `module_path`."""
    extractors: list[Any] = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    groups = sorted({spec.query_key for spec in eval_config.metrics_specs} - {""})
    slices = {key: split_slice(key) for spec in eval_config.slicing_specs for key in spec.feature_keys}
    bounds = {key: (feature, bound) for key, (feature, bound) in slices.items() if bound is not None}
    last = extractors.pop()
    # The same stage still, since it is the one after which TFMA evaluates.
    sliced = _Slice(last.ptransform, bounds, groups)
    return [*extractors, tfma.extractors.Extractor(stage_name=last.stage_name, ptransform=sliced)]


class _Slice(beam.PTransform):  # type: ignore[misc]
    """Extracts slice keys, also by bounds, and keeps of the features the groups' keys alone.

    TFMA copies all features of a request when it groups by request.
    """

    def __init__(self, extract_slice_keys: Any, bounds: dict[str, tuple[str, float]], groups: list[str]):
        super().__init__()
        self._extract_slice_keys = extract_slice_keys
        self._bounds = bounds
        self._groups = groups

    def expand(self, extracts: Any) -> Any:
        return (
            extracts
            | "Bounds" >> beam.Map(_with_bounds, self._bounds)
            | self._extract_slice_keys
            | "Prune" >> beam.Map(_pruned, self._groups)
        )


def _with_bounds(extracts: dict[str, Any], bounds: dict[str, tuple[str, float]]) -> dict[str, Any]:
    features = dict(extracts[constants.FEATURES_KEY])
    for name, (feature, bound) in bounds.items():
        values = np.asarray(getattr(features[feature], "values", features[feature])).reshape(-1)  # it may be sparse
        features[name] = np.array([BELOW if value < bound else NOT_BELOW for value in values])
    return {**extracts, constants.FEATURES_KEY: features}


def _pruned(extracts: dict[str, Any], groups: list[str]) -> dict[str, Any]:
    kept = {key: extracts[key] for key in _KEPT if key in extracts}
    features = extracts[constants.FEATURES_KEY]
    return {**kept, constants.FEATURES_KEY: {key: features[key] for key in groups}}
