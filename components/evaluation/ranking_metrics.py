"""TFMA's name for the metrics of a ranking, each a mean over groups: GAUC, NDCG@k, MAP@k and recall@k.

The groups are those of `MetricsSpec.query_key`, such as the request. A slice by a feature that differs within a group
includes every complete group that has a row in the slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluation.row_metrics import not_by_tfma


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
        super().__init__(not_by_tfma, measures=measures, by_group=by_group, name=name)
