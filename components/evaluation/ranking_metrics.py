"""TFMA metrics of a ranking, each a mean over groups: GAUC, NDCG@k, MAP@k and recall@k.

The groups are those of `MetricsSpec.query_key`, such as the request. A slice by what differs within a group has each
group of which a row is in it, whole.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from components.evaluation import bootstrap
from components.evaluation.inputs import GroupRow
from components.evaluation.ranking import Measure
from components.evaluation.replicates import MeanOfGroups


class RankingMetric(tfma.metrics.Metric):  # type: ignore[misc]
    """The mean over groups of a measure of their ranking: `components.evaluation.ranking` has the formulas.

    Ties count as the mean over their orders. GAUC leaves out groups with one class alone, and weighs the others by
    their number of examples, or the sum of their examples' weights; within a group a pair counts by its weights too.
    The measures at k leave out groups without a positive; each of the others counts once, or by the mean of its
    examples' weights.

    Args:
      measure: `gauc`, `ndcg`, `map` or `recall`.
      k: How many positions count; None for `gauc`.
      name: The metric's name; left out, such as `gauc` or `ndcg@10`.
    """

    def __init__(self, measure: str, k: int | None = None, name: str | None = None):
        super().__init__(_ranking_metric, measure=measure, k=k, name=name or Measure(measure, k).name)


def _ranking_metric(
    measure: str,
    k: int | None,
    name: str,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
    query_key: str,
) -> list[Any]:
    computation = mean_of_groups(Measure(measure, k), eval_config, model_names, example_weighted, query_key)
    keys = [metric_types.MetricKey(name, model_name=m, example_weighted=example_weighted) for m in model_names]
    values = functools.partial(_values, computation.keys[0], keys)
    return [computation, metric_types.DerivedMetricComputation(keys, values)]


def _values(replicates_key: Any, keys: Sequence[Any], metrics: dict[Any, Any]) -> dict[Any, float]:
    return {key: float(value) for key, value in zip(keys, metrics[replicates_key][0], strict=True)}


def mean_of_groups(
    measure: Measure,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
    query_key: str,
) -> Any:
    """The computation of a measure, for all models at once, with replicates if there is a baseline.

    Its one key is private to TFMA; the value is an array `[1 + num_replicates, num_models]`.
    """
    if not query_key:
        raise ValueError(f"{measure.name} needs the `query_key` of a MetricsSpec: the feature that names a row's group")
    key = metric_types.MetricKey(f"_replicates:{measure.name}", example_weighted=example_weighted)
    paired = model_util.get_baseline_model_spec(eval_config) is not None
    return metric_types.MetricComputation(
        keys=[key],
        preprocessors=[GroupRow(measure, model_names, example_weighted, query_key)],
        combiner=MeanOfGroups(key, len(model_names), bootstrap.NUM_REPLICATES if paired else 0),
    )
