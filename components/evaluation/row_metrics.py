"""TFMA metrics of single examples, with the standard errors of the metrics and of their changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import MetricKey
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`

from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import Array, standard_errors

#: The numbers of examples, of positive and of negative ones with a weight above 0, and of bootstrap units; otherwise
#: weights do not count.
COUNTS = ("num_examples", "num_positives", "num_negatives", "num_units")
NUM_EXAMPLES, NUM_POSITIVES, NUM_NEGATIVES, NUM_UNITS = COUNTS


def error_name(metric: str) -> str:
    """Returns the name of a metric's standard error."""
    return f"{metric}_standard_error"


def change_error_name(metric: str) -> str:
    """Returns the name of the standard error of a metric's change, a difference of two models (`is_diff`)."""
    return f"{metric}_change_standard_error"


def not_by_tfma() -> list[Any]:
    """TFMA's evaluator would call it; `measuring` measures in its place."""
    raise NotImplementedError("the project's metrics are measured by `components.evaluation.measuring`")


class RowMetrics(tfma.metrics.Metric):  # type: ignore[misc]
    """All of `components.evaluation.metrics.replicates.ROW_METRICS`, exact, with their standard errors.

    AUC compares every positive with every negative; a tie counts half. TFMA's own AUC counts rows between 10,000
    equidistant thresholds in [0, 1]; if labels are rare, nearly all scores are below the first few: at a rate of 4.5e-5
    it returns 0.681 instead of 0.767.

    Args:
      unit_keys: The features whose values name an example's bootstrap unit, such as the user, then the request. The
        first one that an example has is used; an example without any is a unit of its own.
      accuracy_threshold: A score from this one on predicts label 1.
      name: Required by TFMA; no metric has this name.
    """

    def __init__(
        self,
        unit_keys: Sequence[str] = (),
        accuracy_threshold: float = replicates.ACCURACY_THRESHOLD,
        name: str = "row_metrics",
    ):
        super().__init__(not_by_tfma, unit_keys=unit_keys, accuracy_threshold=accuracy_threshold, name=name)


def counts_of(labels: Array, weights: Array, units: Array) -> Array:
    """Returns the numbers `COUNTS` of rows, float64 `[4]`: those of parts add up if a unit's rows are in one part."""
    weighted = labels[weights > 0]
    counts = (len(labels), int((weighted > 0).sum()), int((weighted == 0).sum()), len(np.unique(units)))
    return np.array(counts, np.float64)


class Keys:
    """TFMA's keys of metrics, of their standard errors, and of the standard errors of their changes.

    Args:
      eval_config: The config; if it has a baseline, there are changes.
      model_names: The models, in their order in values.
      example_weighted: Whether the examples' weights count.
    """

    def __init__(self, eval_config: config_pb2.EvalConfig, model_names: Sequence[str], example_weighted: bool):
        baseline = tfma.utils.get_baseline_model_spec(eval_config)
        self._model_names = tuple(model_names)
        self._example_weighted = example_weighted
        self._pair: tuple[int, int] | None = None
        if baseline is not None:
            self._pair = (1 - self._model_names.index(baseline.name), self._model_names.index(baseline.name))

    def _key(self, name: str, model: int, *, is_diff: bool = False) -> MetricKey:
        model_name = self._model_names[model]
        return MetricKey(name, model_name=model_name, example_weighted=self._example_weighted, is_diff=is_diff)

    @property
    def _candidate(self) -> int:
        return 0 if self._pair is None else self._pair[0]

    def counts(self, found: Array) -> dict[MetricKey, float]:
        """Returns the values of `COUNTS`, which are the same for every model, from those of `counts_of`."""
        keys = [self._key(name, self._candidate) for name in COUNTS]
        return dict(zip(keys, map(float, found), strict=True))

    def _of_metric(self, name: str) -> list[MetricKey]:
        models = range(len(self._model_names))
        keys = [self._key(of_model, model) for of_model in (name, error_name(name)) for model in models]
        return (
            keys if self._pair is None else [*keys, self._key(change_error_name(name), self._candidate, is_diff=True)]
        )

    def values(self, found: Mapping[str, Array]) -> dict[MetricKey, float]:
        """Returns the values of all keys, from each metric's array `[1 + num_replicates, num_models]`."""
        values: dict[MetricKey, float] = {}
        for name, of_models in found.items():
            numbers = [*of_models[0], *standard_errors(of_models)]
            if self._pair is not None:
                numbers.append(standard_errors(of_models[:, self._pair[0]] - of_models[:, self._pair[1]]))
            values.update(zip(self._of_metric(name), map(float, numbers), strict=True))
        return values
