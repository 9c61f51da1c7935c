"""From TFMA's extracts to the rows that are summed: once for each example or group, not once for each of its slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types

from components.evaluation.bootstrap import Array, unit_hash
from components.evaluation.ranking import Measure


def _of_model(values: Any, model_name: str) -> Array:
    """A model's values, float64 `[num_rows]`.

    TFMA has them by the model's name where there are several models, unless it is the same for all of them, and by the
    output's name where that has one. TFMA's own way to look them up takes six times as long.
    """
    while isinstance(values, Mapping):
        if model_name in values:
            values = values[model_name]
        else:
            (values,) = values.values()
    array: Array = np.asarray(values, dtype=np.float64).reshape(-1)
    return array


class _Preprocessor(metric_types.Preprocessor):  # type: ignore[misc]
    """Makes a row of an example, or of a group of them.

    Args:
      name: Tells it from others: TFMA computes but once what has the same name, keys and combiner.
      model_names: The models, in the order that they have in a row.
      example_weighted: Whether the examples' weights count.
      unit_key: The feature whose value is the bootstrap's unit; empty takes the example itself.
    """

    def __init__(
        self,
        name: str,
        model_names: Sequence[str],
        example_weighted: bool,
        unit_key: str,
    ):
        super().__init__(name=f"{name}:{unit_key}:{','.join(model_names)}:{example_weighted}")
        self._model_names = tuple(model_names)
        self._example_weighted = example_weighted
        self._unit_key = unit_key

    def _unit(self, extracts: Any) -> float:
        if not self._unit_key:
            return float(unit_hash(np.asarray(extracts[constants.INPUT_KEY]).item()))
        key = np.asarray(extracts[constants.FEATURES_KEY][self._unit_key]).flat[0]
        return float(unit_hash(key if isinstance(key, bytes) else str(key).encode()))

    def _arrays(self, extracts: Any, model_name: str) -> tuple[Array, Array, Array]:
        """Labels, scores and weights, float64 `[num_rows]` each."""
        labels = _of_model(extracts[constants.LABELS_KEY], model_name)
        scores = _of_model(extracts[constants.PREDICTIONS_KEY], model_name)
        if not self._example_weighted:
            return labels, scores, np.ones_like(scores)
        return labels, scores, _of_model(extracts[constants.EXAMPLE_WEIGHTS_KEY], model_name)


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
    """How many examples there are in an example's or a group's extracts; any model's name will do."""

    def __init__(self, model_name: str):
        super().__init__(name="num_examples")
        self._model_name = model_name

    def process(self, extracts: Any) -> Iterator[int]:
        yield _of_model(extracts[constants.LABELS_KEY], self._model_name).size
