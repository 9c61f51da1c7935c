"""The quality of the rankings of groups, such as requests. For tied scores, it is the mean over all their orders.

So no value depends on the order of rows, and a model cannot gain by giving all candidate items the same score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from components.evaluation.metrics.bootstrap import Array


class Ranked(NamedTuple):
    """Groups one after the other, each sorted by descending score; arrays have the shape `[num_rows]`, in that order.

    Attributes:
      group: The number of the row's group, from 0.
      position: The row's position in its group, from 0.
      labels: 0 or 1.
      starts: The first position with the row's score in its group: where its ties begin.
      sizes: The number of rows with the row's score in its group.
      positives: The number of positives among those.
      before: The number of positives ranked before all of those in the group.
      num_positives: The number of positives of each group, `[num_groups]`.
    """

    group: Array
    position: Array
    labels: Array
    starts: Array
    sizes: Array
    positives: Array
    before: Array
    num_positives: Array

    def sums(self, values: Array, k: int) -> Array:
        """Returns the sums of the rows' values over the first k positions of each group, `[num_groups]`."""
        top = self.position < k
        return np.bincount(self.group[top], values[top], len(self.num_positives))


def _ties(group: Array, scores: Array) -> Array:
    """Returns the row at which each distinct score of a group begins, in sorted rows."""
    is_first = np.ones(len(scores), bool)
    is_first[1:] = (scores[1:] != scores[:-1]) | (group[1:] != group[:-1])
    return np.flatnonzero(is_first)


def ranked(group: Array, num_groups: int, labels: Array, scores: Array) -> Ranked:
    """Finds the ties of groups.

    Args:
      group: The number of each row's group, `[num_rows]`, ascending.
      num_groups: The number of groups, each with at least one row.
      labels: 0 or 1, `[num_rows]`.
      scores: `[num_rows]`, descending within a group.
    """
    starts = np.searchsorted(group, np.arange(num_groups))
    first = _ties(group, scores)
    sizes = np.diff(np.append(first, len(scores)))
    positives = np.add.reduceat(labels, first)
    before = np.cumsum(positives) - positives  # of all groups so far
    before -= before[np.searchsorted(first, starts)][group[first]]
    return Ranked(
        group=group,
        position=np.arange(len(group)) - starts[group],
        labels=labels,
        starts=np.repeat(first - starts[group[first]], sizes),
        sizes=np.repeat(sizes, sizes),
        positives=np.repeat(positives, sizes),
        before=np.repeat(before, sizes),
        num_positives=np.bincount(group, labels, num_groups),
    )


def aucs(group: Array, num_groups: int, labels: Array, scores: Array, weights: Array) -> Array:
    """Returns each group's AUC, `[num_groups]`; not a finite number for a group in which a class has no weight.

    It is the share of (positive, negative) pairs whose positive scores higher; a tie is half a pair. A pair's weight is
    the product of its rows' weights. The rows are sorted as for `ranked`.
    """
    first = _ties(group, scores)
    of_tie = group[first]
    positive = np.add.reduceat(labels * weights, first)
    negative = np.add.reduceat((1 - labels) * weights, first)
    num_positive, num_negative = (np.bincount(of_tie, of_class, num_groups) for of_class in (positive, negative))
    so_far = np.cumsum(negative)
    up_to_group = np.cumsum(num_negative)
    below = up_to_group[of_tie] - so_far
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.bincount(of_tie, positive * (below + negative / 2), num_groups) / (num_positive * num_negative)
    return found


def ndcg(groups: Ranked, k: int) -> Array:
    """Returns DCG@k ÷ the best DCG@k, where DCG@k = Σ_{r ≤ k} label_r / log2(1 + r) (Järvelin and Kekäläinen, 2002).

    A tied position has the mean label of its ties (McSherry and Najork, 2008, section 2.4).
    """
    gains = groups.sums(groups.positives / groups.sizes / np.log2(groups.position + 2.0), k)
    most = int(min(k, groups.num_positives.max(initial=0)))
    best = np.cumsum(np.append(0, 1 / np.log2(np.arange(most) + 2.0)))
    found: Array = gains / best[np.minimum(groups.num_positives, most).astype(np.int64)]
    return found


def average_precision(groups: Ranked, k: int) -> Array:
    """Returns Σ_{r ≤ k} precision_r · label_r ÷ min(k, number of positives).

    Consider all orders of a tie of n rows with m positives that follows c positives. The row at position i of the tie,
    from 0, is positive in m / n of the orders; then c + 1 + i (m - 1) / (n - 1) positives are ranked up to and
    including it on average (McSherry and Najork, 2008, section 2.3).
    """
    others = (groups.position - groups.starts) * (groups.positives - 1) / np.maximum(groups.sizes - 1, 1)
    precision = (groups.before + 1 + others) / (groups.position + 1)
    found: Array = groups.sums(groups.positives / groups.sizes * precision, k) / np.minimum(k, groups.num_positives)
    return found


def recall(groups: Ranked, k: int) -> Array:
    """Returns the share of the positives at the first k positions."""
    found: Array = groups.sums(groups.positives / groups.sizes, k) / groups.num_positives
    return found


#: Functions of groups and k that return a value for each group, not a finite number for a group without a positive.
_AT_K: dict[str, Callable[[Ranked, int], Array]] = {"ndcg": ndcg, "map": average_precision, "recall": recall}

#: The measures of a group's ranking: `gauc`, and those of its first k positions.
MEASURES = ("gauc", *_AT_K)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measure of a group's ranking, whose mean over the groups is a metric.

    Attributes:
      kind: One of `MEASURES`.
      k: The number of positions that count; None for `gauc`.
    """

    kind: str
    k: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in MEASURES:
            raise ValueError(f"`kind` must be one of {list(MEASURES)}. Received: {self.kind!r}")
        if (self.k is None) != (self.kind == "gauc") or (self.k is not None and self.k < 1):
            raise ValueError(f"`k` must be None for gauc, and at least 1 for the others. Received: {self.k!r}")

    @property
    def name(self) -> str:
        return self.kind if self.k is None else f"{self.kind}@{self.k}"


def measure_groups(
    measures: Sequence[Measure], group: Array, num_groups: int, labels: Array, scores: Array, weights: Array
) -> tuple[Array, Array]:
    """Measures groups.

    Args:
      measures: The measures to compute.
      group: The number of each row's group, from 0, `[num_rows]`.
      num_groups: The number of groups, each with at least one row.
      labels: 0 or 1, float64 `[num_rows]`.
      scores: Finite or not, float64 `[num_rows]`.
      weights: The examples' weights, at least 0, float64 `[num_rows]`.

    Returns:
      The groups' values, float64 `[num_groups, num_measures]`, NaN if a score is NaN, and their weights in the means,
      of the same shape. A group without a value has a value and a weight of 0: for gauc a group in which a class has no
      weight, for the others a group without a positive. A group's weight is the sum of its examples' weights for gauc,
      and their mean for the others.
    """
    # Also sorts ties, so that sums do not depend on the rows' order.
    order = np.lexsort((weights, labels, -scores, group))
    group, labels, scores, weights = group[order], labels[order], scores[order], weights[order]
    total = np.bincount(group, weights, num_groups)
    positive = np.bincount(group, weights * labels, num_groups)
    negative = np.bincount(group, weights * (1 - labels), num_groups)
    has_nan = np.bincount(group, np.isnan(scores), num_groups) > 0
    groups = ranked(group, num_groups, labels, scores)
    mean = total / np.bincount(group, minlength=num_groups)
    values, of_values = np.zeros((2, num_groups, len(measures)))
    found: Array
    weight: Array
    for number, measure in enumerate(measures):
        if measure.k is None:
            found, weight = aucs(group, num_groups, labels, scores, weights), total
            has_value = (positive > 0) & (negative > 0)
        else:
            with np.errstate(invalid="ignore", divide="ignore"):
                found, weight = _AT_K[measure.kind](groups, measure.k), mean
            has_value = (groups.num_positives > 0) & (mean > 0)
        values[:, number] = np.where(has_value, np.where(has_nan, np.nan, found), 0.0)
        of_values[:, number] = np.where(has_value, weight, 0.0)
    return values, of_values
