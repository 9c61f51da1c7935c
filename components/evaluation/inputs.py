"""Converts TFMA's extracts to rows of numbers, and the combiner that collects and measures the rows.

TFMA creates a row once for each example or group, and passes it to each of its slices.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import MetricKey

from components.evaluation.metrics.bootstrap import Array, unit_hash
from components.evaluation.metrics.ranking import Measure, measure_group

#: The key, among an example's features, of its bootstrap unit's hash; `components.evaluation.extractors` adds it. No
#: feature of a config begins with an underscore.
UNIT = "_bootstrap_unit"


def _of_model(values: Any, model_name: str) -> Array:
    """Returns a model's values, float64 `[num_rows]`.

    TFMA nests values by the model's name if there are several models, unless the values are the same for all models,
    and by the output's name if outputs have names. TFMA's own lookup takes six times as long.
    """
    while isinstance(values, Mapping):
        if model_name in values:
            values = values[model_name]
        else:
            (values,) = values.values()
    array: Array = np.asarray(values, dtype=np.float64).reshape(-1)
    return array


def make_key(feature: str, value: Any) -> bytes:
    """Returns the key of a bootstrap unit or a group, given a feature and its value, bytes or a number."""
    text = value if isinstance(value, bytes) else str(value).encode()
    return feature.encode() + b"=" + text


def compute_hash(feature: str, value: Any) -> float:
    """Returns the hash of a bootstrap unit, given a feature and its value, bytes or a number."""
    return float(unit_hash(make_key(feature, value)))


class _Preprocessor(tfma.metrics.Preprocessor):  # type: ignore[misc]
    """Converts an example, or a group of examples, to a row.

    Args:
      name: A unique name: TFMA computes only once what has the same name, keys and combiner.
      model_names: The models, in their order in a row.
      example_weighted: Whether the examples' weights count.
    """

    def __init__(self, name: str, model_names: Sequence[str], example_weighted: bool):
        super().__init__(name=f"{name}:{','.join(model_names)}:{example_weighted}")
        self._model_names = tuple(model_names)
        self._example_weighted = example_weighted

    def _arrays(self, extracts: Any, model_name: str) -> tuple[Array, Array, Array]:
        """Returns labels, scores and weights, float64 `[num_rows]` each."""
        labels = _of_model(extracts[tfma.LABELS_KEY], model_name)
        scores = _of_model(extracts[tfma.PREDICTIONS_KEY], model_name)
        if not self._example_weighted:
            return labels, scores, np.ones_like(scores)
        return labels, scores, _of_model(extracts[tfma.EXAMPLE_WEIGHTS_KEY], model_name)


class GroupRow(_Preprocessor):
    """Converts a group's extracts, grouped by `MetricsSpec.query_key`, to its unit and each model's values and weights.

    Args:
      measures: The measures of a group.
      unit_key: `UNIT`, or the feature that is constant in a group and names its unit.
    """

    def __init__(self, measures: Sequence[Measure], unit_key: str, *arguments: Any):
        super().__init__(f"group_row_{unit_key}_{'_'.join(measure.name for measure in measures)}", *arguments)
        self._measures = tuple(measures)
        self._unit_key = unit_key

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        of_models = [measure_group(self._measures, *self._arrays(extracts, name)) for name in self._model_names]
        values = np.asarray(extracts[tfma.FEATURES_KEY][self._unit_key]).reshape(-1)
        # If a request has several users, takes the smallest hash, independent of the order of its examples.
        unit = float(values.min()) if self._unit_key == UNIT else compute_hash(self._unit_key, values[0])
        yield (unit, *(number for of_model in of_models for pair in of_model for number in pair))


class ExampleRow(_Preprocessor):
    """Converts an example's extracts to its unit, label, weight and each model's score."""

    def __init__(self, *arguments: Any):
        super().__init__("example_row", *arguments)

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        arrays = [self._arrays(extracts, name) for name in self._model_names]
        labels, _, weights = arrays[0]
        unit = float(extracts[tfma.FEATURES_KEY][UNIT].item())
        yield (unit, labels.item(), weights.item(), *(scores.item() for _, scores, _ in arrays))


class Rows(beam.CombineFn):  # type: ignore[misc]
    """Collects rows of numbers, 8 bytes each, and measures them all at once.

    A million rows of five numbers take 40 MB for each slice that they are in: a small part of the memory of TFMA's own
    extracts. The rows are sorted before they are measured, so that not even the last digit of a sum depends on how Beam
    bundles them.

    Args:
      num_columns: The number of columns of a row.
      measure: Computes metrics from the rows, float64 `[num_rows, num_columns]`.
    """

    def __init__(self, num_columns: int, measure: Callable[[Array], dict[MetricKey, Any]]):
        self._num_columns = num_columns
        self._measure = measure

    def create_accumulator(self) -> array.array[float]:
        return array.array("d")

    def add_input(self, accumulator: array.array[float], row: Sequence[float]) -> array.array[float]:
        accumulator.extend(row)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[array.array[float]]) -> array.array[float]:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.extend(accumulator)
        return merged

    def extract_output(self, accumulator: array.array[float]) -> dict[MetricKey, Any]:
        rows = np.frombuffer(accumulator, dtype=np.float64).reshape(-1, self._num_columns)
        return self._measure(rows[np.lexsort(rows.T)])
