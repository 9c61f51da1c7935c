"""A TFMA metric that makes thresholds hold in slices of enough examples alone: TFMA's own hold in each, or fail."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from components.evaluation.inputs import NumExamples


def margin_name(metric: str) -> str:
    """The name of the metric that tells by how much another one keeps within its bounds in a slice."""
    return f"{metric}_slice_margin"


class SliceMargin(tfma.metrics.Metric):  # type: ignore[misc]
    """By how much another metric of the slice keeps within bounds: the smaller of value - low and high - value.

    It is 0, as if the metric stood on its bound, in a slice of fewer than `min_examples`, and where the metric is not a
    number: a slice may lack a class, and scores that are no numbers already fail the whole. A threshold asks for at
    least 0. The other metric must be in a MetricsSpec before, of the same query key.

    Args:
      metric: The other metric's name.
      name: The metric's name.
      min_examples: The least number of examples for the bounds to hold. With a query key those of whole groups count.
      low: The lower bound; None is none.
      high: The upper bound; None is none.
      is_change: Whether the other metric is a difference of the two models. This one is one too then.
    """

    def __init__(
        self,
        metric: str,
        name: str,
        min_examples: int,
        low: float | None = None,
        high: float | None = None,
        is_change: bool = False,
    ):
        super().__init__(
            _slice_margin, metric=metric, name=name, min_examples=min_examples, low=low, high=high, is_change=is_change
        )


def _slice_margin(
    metric: str,
    name: str,
    min_examples: int,
    low: float | None,
    high: float | None,
    is_change: bool,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
) -> list[Any]:
    baseline = model_util.get_baseline_model_spec(eval_config)
    if is_change and baseline is None:
        return []
    count_key = metric_types.MetricKey("_slice_examples")
    count = metric_types.MetricComputation(
        keys=[count_key], preprocessors=[NumExamples(model_names[0])], combiner=_Count(count_key)
    )
    computations: list[Any] = [count]
    for model in model_names:
        if is_change and baseline is not None and model == baseline.name:
            continue
        other, key = (
            metric_types.MetricKey(n, model_name=model, example_weighted=example_weighted, is_diff=is_change)
            for n in (metric, name)
        )
        bounds = (-math.inf if low is None else low, math.inf if high is None else high)
        margin = functools.partial(_margin, other, count_key, min_examples, bounds, key)
        computations.append(metric_types.DerivedMetricComputation([key], margin))
    return computations


def _margin(
    other: Any, count_key: Any, min_examples: int, bounds: tuple[float, float], key: Any, metrics: dict[Any, Any]
) -> dict[Any, float]:
    value = float(metrics[other])
    holds = metrics[count_key] >= min_examples and not math.isnan(value)
    return {key: min(value - bounds[0], bounds[1] - value) if holds else 0.0}


class _Count(beam.CombineFn):  # type: ignore[misc]
    """The sum of whole numbers."""

    def __init__(self, key: Any):
        self._key = key

    def create_accumulator(self) -> int:
        return 0

    def add_input(self, accumulator: int, number: int) -> int:
        return accumulator + number

    def merge_accumulators(self, accumulators: Iterable[int]) -> int:
        return sum(accumulators)

    def extract_output(self, accumulator: int) -> dict[Any, int]:
        return {self._key: accumulator}
