"""TFMA metrics of a ranking, each a mean over groups: GAUC, NDCG@k, MAP@k and recall@k.

The groups are those of `MetricsSpec.query_key`, such as the request. A slice by a feature that differs within a group
includes every complete group that has a row in the slice.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import MetricKey
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`

from components.evaluation.inputs import UNIT, GroupRow, Rows
from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.ranking import Measure
from components.evaluation.row_metrics import Keys


class RankingMetrics(tfma.metrics.Metric):  # type: ignore[misc]
    """Means over groups of measures of their ranking; `components.evaluation.metrics.ranking` has the formulas.

    A tie counts as the mean over its orders. GAUC leaves out groups with one class only, and weights the others by
    their number of examples, or the sum of their examples' weights; a pair within a group is weighted too. The measures
    at k leave out groups without a positive; each other group counts once, or by the mean of its examples' weights. The
    bootstrap draws the groups of one unit, such as all requests of a user, together.

    Args:
      measures: For example `[{"kind": "gauc"}, {"kind": "ndcg", "k": 10}]`; the metrics are `gauc` and `ndcg@10`.
      by_group: Whether the bootstrap draws each group separately, because groups are not parts of units.
      name: Required by TFMA; no metric has this name.
    """

    def __init__(self, measures: Sequence[Mapping[str, Any]], by_group: bool = False, name: str = "ranking_metrics"):
        super().__init__(_ranking_metrics, measures=measures, by_group=by_group, name=name)


def _ranking_metrics(
    measures: Sequence[Mapping[str, Any]],
    by_group: bool,
    name: str,
    eval_config: config_pb2.EvalConfig,
    model_names: Sequence[str],
    example_weighted: bool,
    query_key: str,
) -> list[Any]:
    of_groups = [Measure(**measure) for measure in measures]
    names = [measure.name for measure in of_groups]
    if not query_key:
        raise ValueError(f"{names} need the `query_key` of a MetricsSpec: the feature that names a row's group")
    keys = Keys(eval_config, model_names, example_weighted)
    return [
        tfma.metrics.MetricComputation(
            keys=keys.metric_keys(names),
            preprocessors=[GroupRow(of_groups, query_key if by_group else UNIT, model_names, example_weighted)],
            combiner=Rows(1 + 2 * len(names) * len(model_names), functools.partial(_measured, keys, names)),
        )
    ]


def _measured(keys: Keys, names: Sequence[str], rows: Array) -> dict[MetricKey, float]:
    """Computes the means from rows of `GroupRow`: a unit, and a value and its weight for each model and measure."""
    pairs = rows[:, 1:].reshape(len(rows), -1, len(names), 2)
    means = replicates.mean_of_groups(rows[:, 0], pairs[..., 0], pairs[..., 1])
    return keys.values({name: means[:, :, measure] for measure, name in enumerate(names)})
