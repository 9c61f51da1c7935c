"""TFMA's extractors, and one that drops what no metric reads: grouping by request would copy it all."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

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
    keys = sorted({spec.query_key for spec in eval_config.metrics_specs} - {""})
    last = extractors.pop()
    # The same stage still, since it is the one after which TFMA evaluates.
    pruned = _ThenPrune(last.ptransform, keys)
    return [*extractors, tfma.extractors.Extractor(stage_name=last.stage_name, ptransform=pruned)]


class _ThenPrune(beam.PTransform):  # type: ignore[misc]
    """Extracts slice keys, then keeps of the features the groups' keys alone."""

    def __init__(self, extract_slice_keys: Any, keys: list[str]):
        super().__init__()
        self._extract_slice_keys = extract_slice_keys
        self._keys = keys

    def expand(self, extracts: Any) -> Any:
        return extracts | self._extract_slice_keys | "Prune" >> beam.Map(_pruned, self._keys)


def _pruned(extracts: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    kept = {key: extracts[key] for key in _KEPT if key in extracts}
    features = extracts[constants.FEATURES_KEY]
    return {**kept, constants.FEATURES_KEY: {key: features[key] for key in keys}}
