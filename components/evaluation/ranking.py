"""The quality of one group's ranking, such as a request's. For tied scores, it is the mean over all their orders.

So no value depends on the order of rows, and a model cannot gain by giving all candidate items the same score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Ranked(NamedTuple):
    """A group sorted by descending score; all arrays have the shape `[num_rows]`, in that order.

    Attributes:
      labels: 0 or 1.
      starts: The first position, from 0, with the row's score: where its ties begin.
      sizes: The number of rows with the row's score.
      positives: The number of positives among those.
      before: The number of positives ranked before all of those.
    """

    labels: Array
    starts: Array
    sizes: Array
    positives: Array
    before: Array


def _ties(scores: Array) -> Array:
    """Returns the position at which each distinct score begins in sorted scores."""
    return np.flatnonzero(np.concatenate(([True], scores[1:] != scores[:-1])))


def ranked(labels: Array, scores: Array) -> Ranked:
    """Finds a group's ties; `labels` (0 or 1) and `scores`, shape `[num_rows]`, must be sorted by descending score."""
    first = _ties(scores)
    sizes = np.diff(np.append(first, len(scores)))
    positives = np.add.reduceat(labels, first)
    before = np.cumsum(positives) - positives
    return Ranked(labels, *(np.repeat(values, sizes) for values in (first, sizes, positives, before)))


def auc(labels: Array, scores: Array, weights: Array) -> float:
    """Returns the AUC: the share of (positive, negative) pairs whose positive scores higher; a tie is half a pair.

    A pair's weight is the product of its rows' weights. The rows are sorted by descending score, and both classes have
    a positive total weight.
    """
    first = _ties(scores)
    positive = np.add.reduceat(labels * weights, first)
    negative = np.add.reduceat((1 - labels) * weights, first)
    below = negative.sum() - np.cumsum(negative)
    return float(positive @ (below + negative / 2) / (positive.sum() * negative.sum()))


def _discounts(k: int, num_rows: int) -> Array:
    discounts: Array = 1 / np.log2(np.arange(min(k, num_rows)) + 2.0)
    return discounts


def ndcg(group: Ranked, k: int) -> float:
    """Returns DCG@k ÷ the best DCG@k, where DCG@k = Σ_{r ≤ k} label_r / log2(1 + r) (Järvelin and Kekäläinen, 2002).

    A tied position has the mean label of its ties (McSherry and Najork, 2008, section 2.4).
    """
    discounts = _discounts(k, len(group.labels))
    mean_labels = (group.positives / group.sizes)[:k]
    return float(mean_labels @ discounts / discounts[: int(group.labels.sum())].sum())


def average_precision(group: Ranked, k: int) -> float:
    """Returns Σ_{r ≤ k} precision_r · label_r ÷ min(k, number of positives).

    Consider all orders of a tie of n rows with m positives that follows c positives. The row at position i of the tie,
    from 0, is positive in m / n of the orders; then c + 1 + i (m - 1) / (n - 1) positives are ranked up to and
    including it on average (McSherry and Najork, 2008, section 2.3).
    """
    positions = np.arange(len(group.labels))
    others = (positions - group.starts) * (group.positives - 1) / np.maximum(group.sizes - 1, 1)
    precision = (group.before + 1 + others) / (positions + 1)
    total = (group.positives / group.sizes * precision)[:k].sum()
    return float(total / min(k, group.labels.sum()))


def recall(group: Ranked, k: int) -> float:
    """Returns the share of the positives at the first k positions."""
    return float((group.positives / group.sizes)[:k].sum() / group.labels.sum())


_AT_K: dict[str, Callable[[Ranked, int], float]] = {"ndcg": ndcg, "map": average_precision, "recall": recall}

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

    def of_sorted(self, labels: Array, scores: Array, weights: Array) -> tuple[float, float]:
        """Returns a group's value and its weight in the mean; rows are sorted by descending score. See `of_group`."""
        if self.k is None:
            left_out = not (labels @ weights and (1 - labels) @ weights)
            weight = float(weights.sum())
        else:
            left_out = not labels.any()
            weight = float(weights.mean())
        if left_out or weight == 0:
            return 0.0, 0.0
        if np.isnan(scores).any():
            return float("nan"), weight
        if self.k is None:
            return auc(labels, scores, weights), weight
        return _AT_K[self.kind](ranked(labels, scores), self.k), weight


def of_group(measures: Sequence[Measure], labels: Array, scores: Array, weights: Array) -> list[tuple[float, float]]:
    """Measures one group.

    Args:
      measures: The measures to compute.
      labels: 0 or 1, shape `[num_rows]`.
      scores: Finite or not, shape `[num_rows]`.
      weights: The examples' weights, at least 0, shape `[num_rows]`.

    Returns:
      For each measure the value, NaN if a score is NaN, and the group's weight in the mean. A group without a value has
      a weight of 0: for gauc a group in which a class has no weight, for the others a group without a positive. A
      group's weight is the sum of its examples' weights for gauc, and their mean for the others.
    """
    order = np.lexsort((weights, labels, -scores))  # also sorts ties, so that sums do not depend on the rows' order
    labels, scores, weights = labels[order], scores[order], weights[order]
    return [measure.of_sorted(labels, scores, weights) for measure in measures]
