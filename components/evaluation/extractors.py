"""TFMA's extractors, with slices by a numeric feature's bound and with each example's bootstrap unit.

They leave out the features that no metric reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`

from components.evaluation.inputs import UNIT, compute_hash
from components.evaluation.metrics.bootstrap import unit_hash
from transform.config.evaluation import split_slice

#: The values of a slice with a bound, such as `age_days < 7`.
BELOW, NOT_BELOW = "true", "false"

_KEPT = (
    tfma.INPUT_KEY,
    tfma.LABELS_KEY,
    tfma.EXAMPLE_WEIGHTS_KEY,
    tfma.PREDICTIONS_KEY,
    tfma.SLICE_KEY_TYPES_KEY,
)


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[Any]:
    """Returns the extractors; the Evaluator of TFX 1.21.0 calls the function of this name in its `module_path`."""
    extractors: list[Any] = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    groups = sorted({spec.query_key for spec in eval_config.metrics_specs} - {""})
    slices = {key: split_slice(key) for spec in eval_config.slicing_specs for key in spec.feature_keys}
    bounds = {key: (feature, bound) for key, (feature, bound) in slices.items() if bound is not None}
    last = extractors.pop()  # as of TFMA 0.52.0, the one that extracts slice keys
    # Keeps the stage's name, since TFMA evaluates after the stage of this name.
    sliced = _Slice(last.ptransform, bounds, groups, _unit_keys(eval_config))
    return [*extractors, tfma.extractors.Extractor(stage_name=last.stage_name, ptransform=sliced)]


def _unit_keys(eval_config: config_pb2.EvalConfig) -> list[str]:
    """Returns the features that name an example's bootstrap unit: the `unit_keys` of the config's `RowMetrics`."""
    configs = [json.loads(m.config or "{}") for spec in eval_config.metrics_specs for m in spec.metrics]
    return next((config["unit_keys"] for config in configs if "unit_keys" in config), [])


class _Slice(beam.PTransform):  # type: ignore[misc]
    """Extracts slice keys, also by bounds, and keeps only the groups' keys and the unit of the features.

    Fewer features cost less: TFMA copies all features of a request when it groups by request.
    """

    def __init__(
        self, extract_slice_keys: Any, bounds: dict[str, tuple[str, float]], groups: list[str], unit_keys: list[str]
    ):
        super().__init__()
        self._extract_slice_keys = extract_slice_keys
        self._bounds = bounds
        self._groups = groups
        self._unit_keys = unit_keys

    def expand(self, extracts: Any) -> Any:
        return (
            extracts
            | "Bounds" >> beam.Map(_with_bounds, self._bounds)
            | self._extract_slice_keys
            | "Prune" >> beam.Map(_pruned, self._groups, self._unit_keys)
        )


def _values(feature: Any) -> Any:
    """Returns a feature's values, `[num_values]`; a feature that may be missing is sparse."""
    return np.asarray(getattr(feature, "values", feature)).reshape(-1)


def _with_bounds(extracts: dict[str, Any], bounds: dict[str, tuple[str, float]]) -> dict[str, Any]:
    features = dict(extracts[tfma.FEATURES_KEY])
    for name, (feature, bound) in bounds.items():
        if feature in features:  # otherwise the example has no value, and is in neither slice
            features[name] = np.array([BELOW if value < bound else NOT_BELOW for value in _values(features[feature])])
    return {**extracts, tfma.FEATURES_KEY: features}


def _pruned(extracts: dict[str, Any], groups: list[str], unit_keys: list[str]) -> dict[str, Any]:
    kept = {key: extracts[key] for key in _KEPT if key in extracts}
    features = extracts[tfma.FEATURES_KEY]
    unit = np.array([_unit(features, unit_keys, kept[tfma.INPUT_KEY])])
    return {**kept, tfma.FEATURES_KEY: {UNIT: unit, **{key: features[key] for key in groups}}}


def _unit(features: dict[str, Any], unit_keys: Sequence[str], example: Any) -> float:
    """Returns the hash of an example's unit: of the value of the first key that it has, else of the example itself."""
    for key in unit_keys:
        for value in _values(features[key])[:1] if key in features else ():
            return compute_hash(key, value)
    return float(unit_hash(np.asarray(example).item()))
