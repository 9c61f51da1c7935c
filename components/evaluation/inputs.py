"""From TFMA's extracts to the rows that are summed: once for each example or group, not once for each of its slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import util

from components.evaluation.bootstrap import Array, unit_hash
from components.evaluation.ranking import Measure


class _Preprocessor(metric_types.Preprocessor):  # type: ignore[misc]
    """Makes a row of an example, or of a group of them.

    Args:
      name: Tells it from others: TFMA computes but once what has the same name, keys and combiner.
      eval_config: The Evaluator's config.
      model_names: The models, in the order that they have in a row.
      example_weighted: Whether the examples' weights count.
      unit_key: The feature whose value is the bootstrap's unit; empty takes the example itself.
    """

    def __init__(
        self,
        name: str,
        eval_config: config_pb2.EvalConfig,
        model_names: Sequence[str],
        example_weighted: bool,
        unit_key: str,
    ):
        super().__init__(name=f"{name}:{unit_key}:{','.join(model_names)}:{example_weighted}")
        self._eval_config = eval_config
        self._model_names = tuple(model_names)
        self._example_weighted = example_weighted
        self._unit_key = unit_key

    def _unit(self, extracts: Any) -> float:
        if not self._unit_key:
            return float(unit_hash(np.asarray(extracts[constants.INPUT_KEY]).item()))
        values = np.asarray(util.get_by_keys(extracts, [constants.FEATURES_KEY, self._unit_key])).reshape(-1)
        key = values[0]
        return float(unit_hash(key if isinstance(key, bytes) else str(key).encode()))

    def _arrays(self, extracts: Any, model_name: str) -> tuple[Array, Array, Array]:
        """Labels, scores and weights, float64 `[num_rows]` each."""
        found = metric_util.to_label_prediction_example_weight(
            metric_util.to_standard_metric_inputs(extracts),
            eval_config=self._eval_config,
            model_name=model_name,
            example_weighted=self._example_weighted,
            flatten=False,
        )
        labels, scores, weights = (np.asarray(a, dtype=np.float64).reshape(-1) for a in next(found))
        return labels, scores, np.broadcast_to(weights, scores.shape)


class GroupRow(_Preprocessor):
    """Of a group's extracts, as `MetricsSpec.query_key` makes them: its hash, and each model's value and weight."""

    def __init__(self, measure: Measure, *arguments: Any):
        super().__init__(f"group_row_{measure.name}", *arguments)
        self._measure = measure

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        of_models = [self._measure.of_group(*self._arrays(extracts, name)) for name in self._model_names]
        yield (self._unit(extracts), *(number for of_model in of_models for number in of_model))


class ExampleRow(_Preprocessor):
    """Of an example's extracts: its unit's hash, its label, its weight and each model's score."""

    def __init__(self, *arguments: Any):
        super().__init__("example_row", *arguments)

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        arrays = [self._arrays(extracts, name) for name in self._model_names]
        labels, _, weights = arrays[0]
        yield (self._unit(extracts), labels.item(), weights.item(), *(scores.item() for _, scores, _ in arrays))


class NumExamples(metric_types.Preprocessor):  # type: ignore[misc]
    """How many examples there are in an example's or a group's extracts."""

    def process(self, extracts: Any) -> Iterator[int]:
        labels = extracts[constants.LABELS_KEY]
        while isinstance(labels, dict):
            labels = next(iter(labels.values()))
        yield int(np.size(labels))
