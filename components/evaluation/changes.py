"""TFMA metrics of a change: the ends of the 95 % interval of the candidate's metric minus the baseline's."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from components.evaluation import bootstrap
from components.evaluation.inputs import ExampleRow
from components.evaluation.ranking import Measure
from components.evaluation.ranking_metrics import mean_of_groups
from components.evaluation.replicates import ROW_METRICS, RowMetrics
from transform.evaluation_settings import HIGHER_IS_BETTER, kind_of

LOW, HIGH = 0, 1


def bound_name(metric: str, end: str) -> str:
    """The name of an end, `low` or `high`, of the interval of a metric's change."""
    return f"{metric}_change_{end}"


def good_end(metric: str) -> str:
    """The end of its change's interval at which a metric is better."""
    return "high" if HIGHER_IS_BETTER[kind_of(metric)] else "low"


class ChangeBound(tfma.metrics.Metric):  # type: ignore[misc]
    """An end of the interval of a metric's change, by the paired bootstrap of `components.evaluation.bootstrap`.

    It is a difference of the two models as TFMA has it (`is_diff`), so that a change threshold holds it. TFMA drops
    it where there is no baseline, and then this metric is not computed either.

    Args:
      measure: `auc`, `auc_pr`, `logloss`, or a measure of a ranking, which needs `MetricsSpec.query_key`.
      end: `low` or `high`.
      name: The metric's name.
      k: With `ndcg`, `map` and `recall`: how many positions count.
      unit_key: For the first three: the feature whose value is the bootstrap's unit, such as the request; None takes
        each example. For a ranking the unit is the group.
    """

    def __init__(self, measure: str, end: str, name: str, k: int | None = None, unit_key: str | None = None):
        if end not in ("low", "high"):
            raise ValueError(f"`end` must be low or high. Received: {end!r}")
        super().__init__(_change_bound, measure=measure, end=end, name=name, k=k, unit_key=unit_key)


def _change_bound(
    measure: str,
    end: str,
    name: str,
    k: int | None,
    unit_key: str | None,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
    query_key: str,
) -> list[Any]:
    baseline = model_util.get_baseline_model_spec(eval_config)
    if baseline is None:
        return []
    (candidate,) = (model for model in model_names if model != baseline.name)
    pair = (candidate, baseline.name)
    if measure in ROW_METRICS:
        computation = _row_metrics(pair, example_weighted, unit_key or "")
        replicates_key = computation.keys[ROW_METRICS.index(measure)]
        columns = (0, 1)
    else:
        computation = mean_of_groups(Measure(measure, k), eval_config, model_names, example_weighted, query_key)
        replicates_key = computation.keys[0]
        columns = (model_names.index(candidate), model_names.index(baseline.name))
    key = metric_types.MetricKey(name, model_name=candidate, example_weighted=example_weighted, is_diff=True)
    result = functools.partial(_bound, replicates_key, columns, HIGH if end == "high" else LOW, key)
    return [computation, metric_types.DerivedMetricComputation([key], result)]


def _row_metrics(pair: tuple[str, str], example_weighted: bool, unit_key: str) -> Any:
    keys = {
        name: metric_types.MetricKey(f"_replicates:{name}", example_weighted=example_weighted) for name in ROW_METRICS
    }
    return metric_types.MetricComputation(
        keys=list(keys.values()),
        preprocessors=[ExampleRow(pair, example_weighted, unit_key)],
        combiner=RowMetrics(keys, bootstrap.NUM_REPLICATES),
    )


def _bound(
    replicates_key: Any, columns: tuple[int, int], end: int, key: Any, metrics: dict[Any, Any]
) -> dict[Any, float]:
    return {key: bootstrap.change_interval(metrics[replicates_key][:, columns])[end]}
