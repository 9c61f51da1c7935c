"""The project's metrics for TFX's own executor of the Evaluator, row by row: the oracle of the project's executor.

TFMA groups and slices the examples; only the arithmetic on the collected rows is the product's.
"""

from __future__ import annotations

import array
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation import ranking_metrics, row_metrics
from components.evaluation.column_extractor import make_key
from components.evaluation.metrics import ranking, replicates
from components.evaluation.metrics.bootstrap import Array, unit_hash
from components.evaluation.scoring.columns import BELOW, NOT_BELOW
from transform.config.evaluation import split_slice

#: The key, among an example's features, of its bootstrap unit's hash.
_UNIT = "_bootstrap_unit"


def with_oracle(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns an EvalConfig whose metrics are the classes of this module."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    for spec in result.metrics_specs:
        for metric in spec.metrics:
            metric.module = __name__ if metric.module else ""
    return result


class RowMetrics(row_metrics.RowMetrics):
    """`RowMetrics`, computed by TFMA's evaluator."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        tfma.metrics.Metric.__init__(self, _row_metrics, **self.kwargs)


class RankingMetrics(ranking_metrics.RankingMetrics):
    """`RankingMetrics`, computed by TFMA's evaluator."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        tfma.metrics.Metric.__init__(self, _ranking_metrics, **self.kwargs)


def _row_metrics(
    unit_keys: Sequence[str],
    accuracy_threshold: float,
    name: str,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
) -> list[Any]:
    del unit_keys, name  # the extractors read the keys
    keys = row_metrics.Keys(eval_config, model_names, example_weighted)

    def measure(rows: Array) -> dict[Any, float]:
        units, labels, weights, scores = rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:]
        found = replicates.of_rows(units, labels, weights, scores, accuracy_threshold)
        return {**keys.values(found), **keys.counts(row_metrics.counts_of(labels, weights, units))}

    return [
        tfma.metrics.MetricComputation(
            keys=list(measure(np.zeros((1, 3 + len(model_names))))),
            preprocessors=[_ExampleRow(model_names, example_weighted)],
            combiner=_Rows(3 + len(model_names), measure),
        )
    ]


def _ranking_metrics(
    measures: Sequence[Mapping[str, Any]],
    by_group: bool,
    name: str,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
    query_key: str,
) -> list[Any]:
    del name
    of_groups = [ranking.Measure(**measure) for measure in measures]
    keys = row_metrics.Keys(eval_config, model_names, example_weighted)

    def measure(rows: Array) -> dict[Any, float]:
        pairs = rows[:, 1:].reshape(len(rows), -1, len(of_groups), 2)
        means = replicates.means_of(replicates.sums_of_groups(rows[:, 0], pairs[..., 0], pairs[..., 1]))
        return keys.values({one.name: means[:, :, number] for number, one in enumerate(of_groups)})

    num_columns = 1 + 2 * len(of_groups) * len(model_names)
    unit_key = query_key if by_group else _UNIT
    return [
        tfma.metrics.MetricComputation(
            keys=list(measure(np.zeros((1, num_columns)))),
            preprocessors=[_GroupRow(of_groups, unit_key, model_names, example_weighted)],
            combiner=_Rows(num_columns, measure),
        )
    ]


def _of_model(values: Any, model_name: str) -> Array:
    """Returns a model's values, float64 `[num_rows]`; TFMA nests them by the model's and by the output's name."""
    while isinstance(values, Mapping):
        if model_name in values:
            values = values[model_name]
        else:
            (values,) = values.values()
    found: Array = np.asarray(values, dtype=np.float64).reshape(-1)
    return found


class _Preprocessor(tfma.metrics.Preprocessor):  # type: ignore[misc]
    """Converts an example, or a group of examples, to a row.

    TFMA computes only once what has the same name, keys and combiner, so the name is of all settings.
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


class _GroupRow(_Preprocessor):
    """Converts a group's extracts to its unit, and each model's values and weights."""

    def __init__(self, measures: Sequence[ranking.Measure], unit_key: str, *arguments: Any):
        super().__init__(f"group_row_{unit_key}_{'_'.join(measure.name for measure in measures)}", *arguments)
        self._measures = tuple(measures)
        self._unit_key = unit_key

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        numbers: list[float] = []
        for name in self._model_names:
            labels, scores, weights = self._arrays(extracts, name)
            group = np.zeros(len(labels), np.int64)
            values, of_values = ranking.measure_groups(self._measures, group, 1, labels, scores, weights)
            numbers += np.stack([values[0], of_values[0]], axis=1).ravel().tolist()
        values = np.asarray(extracts[tfma.FEATURES_KEY][self._unit_key]).reshape(-1)
        # If a request has several users, takes the smallest hash, independent of the order of its examples.
        unit = float(values.min()) if self._unit_key == _UNIT else _hash(self._unit_key, values[0])
        yield (unit, *numbers)


class _ExampleRow(_Preprocessor):
    """Converts an example's extracts to its unit, label, weight and each model's score."""

    def __init__(self, *arguments: Any):
        super().__init__("example_row", *arguments)

    def process(self, extracts: Any) -> Iterator[tuple[float, ...]]:
        arrays = [self._arrays(extracts, name) for name in self._model_names]
        labels, _, weights = arrays[0]
        unit = float(extracts[tfma.FEATURES_KEY][_UNIT].item())
        yield (unit, labels.item(), weights.item(), *(scores.item() for _, scores, _ in arrays))


class _Rows(beam.CombineFn):  # type: ignore[misc]
    """Collects rows of numbers, sorts them, and measures them all at once."""

    def __init__(self, num_columns: int, measure: Callable[[Array], dict[Any, float]]):
        self._num_columns = num_columns
        self._measure = measure

    def create_accumulator(self) -> array.array[float]:
        return array.array("d")

    def add_input(self, accumulator: array.array[float], row: Sequence[float]) -> array.array[float]:
        accumulator.extend(row)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[array.array[float]]) -> array.array[float]:
        return array.array("d", [number for accumulator in accumulators for number in accumulator])

    def extract_output(self, accumulator: array.array[float]) -> dict[Any, float]:
        rows = np.frombuffer(accumulator, dtype=np.float64).reshape(-1, self._num_columns)
        return self._measure(rows[np.lexsort(rows.T)])


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[Any]:
    """Returns the extractors; the Evaluator of TFX 1.21.0 calls the function of this name in its `module_path`."""
    extractors: list[Any] = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    last = extractors.pop()  # as of TFMA 0.52.0, the one that extracts slice keys
    # Keeps the stage's name, since TFMA evaluates after the stage of this name.
    sliced = _Slice(last.ptransform, eval_config)
    return [*extractors, tfma.extractors.Extractor(stage_name=last.stage_name, ptransform=sliced)]


class _Slice(beam.PTransform):  # type: ignore[misc]
    """Adds the features of slices by a bound, and each example's unit, before TFMA extracts slice keys."""

    def __init__(self, extract_slice_keys: Any, eval_config: config_pb2.EvalConfig):
        super().__init__()
        self._extract_slice_keys = extract_slice_keys
        self._slices = {key: split_slice(key) for spec in eval_config.slicing_specs for key in spec.feature_keys}
        settings = [json.loads(m.config or "{}") for spec in eval_config.metrics_specs for m in spec.metrics]
        self._unit_keys = next(of_metric["unit_keys"] for of_metric in settings if "unit_keys" in of_metric)

    def expand(self, extracts: Any) -> Any:
        return extracts | "Bounds" >> beam.Map(_with_bounds, self._slices, self._unit_keys) | self._extract_slice_keys


def _with_bounds(
    extracts: dict[str, Any], slices: dict[str, tuple[str, float | None]], unit_keys: Sequence[str]
) -> dict[str, Any]:
    features = dict(extracts[tfma.FEATURES_KEY])
    features[_UNIT] = np.array([_unit(features, unit_keys, extracts[tfma.INPUT_KEY])])
    for name, (feature, bound) in slices.items():
        if bound is not None and feature in features:  # without a value, the example is in neither slice
            features[name] = np.array([BELOW if value < bound else NOT_BELOW for value in _values(features[feature])])
    return {**extracts, tfma.FEATURES_KEY: features}


def _values(feature: Any) -> Any:
    """Returns a feature's values, `[num_values]`; a feature that may be missing is sparse."""
    return np.asarray(getattr(feature, "values", feature)).reshape(-1)


def _unit(features: dict[str, Any], unit_keys: Sequence[str], example: Any) -> float:
    """Returns the hash of an example's unit: of the value of the first key that it has, else of the example itself."""
    for key in unit_keys:
        for value in _values(features[key])[:1] if key in features else ():
            return _hash(key, value)
    return float(unit_hash(np.asarray(example).item()))


def _hash(feature: str, value: Any) -> float:
    return float(unit_hash(make_key(feature, value)))
