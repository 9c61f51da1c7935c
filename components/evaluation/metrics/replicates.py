"""Exact metrics of the data and of each of its bootstrap replicates, from columns of rows.

A replicate is a weight per unit, so a metric made of sums over units is computed as the product of those sums and the
weights. The replicates are computed in blocks with at most `_BLOCK_ENTRIES` row weights each, but at least one
replicate. So the memory beyond the columns themselves grows with the rows, not with the replicates. In bytes a row: 32
for each model's ranking and calibration bins, 48 if most rows are positives with different scores; about 100 while one
model's are made; and 16 for a block, from `_BLOCK_ENTRIES` rows on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from components.evaluation.metrics import bootstrap
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import log_losses

#: The number of row weights held at once: 8 MB, about the size of a processor's cache. 100,000 rows take 0.5 s, and
#: 2.5 s with four times as many weights at once.
_BLOCK_ENTRIES = 1_000_000

#: What `of_rows` computes.
ROW_METRICS = (
    "auc", "auc_pr", "logloss", "accuracy", "calibration", "calibration_error", "mean_prediction", "mean_label",
)  # fmt: skip

#: A score from this one on predicts label 1, unless the config says otherwise.
ACCURACY_THRESHOLD = 0.5

#: The number of bins of the calibration error.
NUM_CALIBRATION_BINS = 20


def _blocks(hashes: Array, num_rows: int) -> Iterator[tuple[slice, Array]]:
    """Yields blocks of replicates 0 to `NUM_REPLICATES`: their slice, and the units' weights.

    The weights, `[num_units, some]`, are whole numbers below 19, uint8: those of a million units fit into a processor's
    cache, from which the rows then take them.
    """
    at_once = max(1, _BLOCK_ENTRIES // max(num_rows, 1))
    for first in range(0, 1 + bootstrap.NUM_REPLICATES, at_once):
        some = range(first, min(first + at_once, 1 + bootstrap.NUM_REPLICATES))
        yield slice(some.start, some.stop), bootstrap.replicate_weights(hashes, some).astype(np.uint8)


def mean_of_groups(units: Array, values: Array, weights: Array) -> Array:
    """Computes weighted means over groups, such as of the requests' NDCG.

    Args:
      units: The hash of the unit that each group belongs to, shape `[num_groups]`.
      values: float64 `[num_groups, ...]`; several columns for several means.
      weights: The weight of each value in its mean, of the same shape.

    Returns:
      float64 `[1 + NUM_REPLICATES, ...]`; NaN where the total weight is 0.
    """
    hashes, unit = np.unique(units, return_inverse=True)
    flat = (len(units), -1)
    columns = np.concatenate([(values * weights).reshape(flat), weights.reshape(flat)], axis=1)
    sums = np.zeros((len(hashes), columns.shape[1]))
    np.add.at(sums, unit, columns)
    blocks = (of_units for _, of_units in _blocks(hashes, len(hashes)))
    of_replicates = np.concatenate([_product_on_one_thread(of_units.T, sums) for of_units in blocks])
    numerators, denominators = np.split(of_replicates, 2, axis=1)
    with np.errstate(invalid="ignore"):
        means: Array = (numerators / denominators).reshape(-1, *values.shape[1:])
    return means


def of_rows(
    units: Array, labels: Array, weights: Array, scores: Array, accuracy_threshold: float = ACCURACY_THRESHOLD
) -> dict[str, Array]:
    """Computes the metrics of single rows, `ROW_METRICS`.

    Args:
      units: The hash of the unit that each row belongs to, float64 `[num_rows]`.
      labels: 0 or 1, float64 `[num_rows]`.
      weights: At least 0, float64 `[num_rows]`.
      scores: float64 `[num_rows, num_models]`. A NaN makes all metrics of its model NaN.
      accuracy_threshold: A score from this one on predicts label 1.

    Returns:
      By metric, float64 `[1 + NUM_REPLICATES, num_models]`; NaN where the metric is undefined.
    """
    hashes, unit = np.unique(units, return_inverse=True)
    found = {name: np.full((1 + bootstrap.NUM_REPLICATES, scores.shape[1]), np.nan) for name in ROW_METRICS}
    models = {
        model: (
            _ranking(unit, labels, weights, of_model),
            _calibration_bins(unit, labels, weights, of_model),
            _sums_of_units(unit, len(hashes), labels, weights, of_model, accuracy_threshold),
        )
        for model, of_model in enumerate(scores.T)
        if not np.isnan(of_model).any()
    }
    for place, of_units in _blocks(hashes, len(units)):
        for model, (ranking, bins, sums) in models.items():
            of_sums = _product_on_one_thread(sums, of_units)
            with np.errstate(invalid="ignore"):
                calibration_error = bins.absolute_residuals(of_units) / of_sums[0]
            values = {**ranking.areas(of_units), **_ratios(of_sums), "calibration_error": calibration_error}
            for name, of_replicates in values.items():
                found[name][place, model] = of_replicates
    return found


def _product_on_one_thread(left: Array, right: Array) -> Array:
    """The product of two matrices, on one thread: for small matrices, BLAS's threads mostly wait for each other."""
    product: Array = np.einsum("ij,jk->ik", left.astype(np.float64, copy=False), right.astype(np.float64, copy=False))
    return product


def _sums_of_units(
    unit: Array, num_units: int, labels: Array, weights: Array, scores: Array, accuracy_threshold: float
) -> Array:
    """Returns, by unit, the sums of weights, and of weighted losses, hits, scores and labels: `[5, num_units]`."""
    losses = log_losses(labels, scores)
    hits = (scores >= accuracy_threshold) == (labels == 1)
    return np.stack([np.bincount(unit, weights * x, num_units) for x in (1.0, losses, hits, scores, labels)])


def _ratios(sums: Array) -> dict[str, Array]:
    """Computes the metrics that are ratios of sums `[5, num_replicates]`, in the order of `_sums_of_units`."""
    weight, loss, hits, predicted, positive = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "logloss": loss / weight,
            "accuracy": hits / weight,
            "calibration": np.where(positive > 0, predicted / positive, np.nan),
            "mean_prediction": predicted / weight,
            "mean_label": positive / weight,
        }


class _CalibrationBins(NamedTuple):
    """Rows by ascending score, in bins of about the same total weight; rows of one score are in one bin.

    Attributes:
      units: The rows' units.
      residuals: The rows' weights times the difference of score and label.
      starts: The position at which each bin with rows begins.
      numbers: The numbers of these bins, from 0 to `NUM_CALIBRATION_BINS` - 1.
    """

    units: Array
    residuals: Array
    starts: Array
    numbers: Array

    def absolute_residuals(self, of_units: Array) -> Array:
        """Returns the sum over the bins of |sum of residuals|, float64 `[num_replicates]`."""
        sums: Array = np.abs(_sums(of_units, *self, NUM_CALIBRATION_BINS)).sum(axis=0)
        return sums


def _calibration_bins(unit: Array, labels: Array, weights: Array, scores: Array) -> _CalibrationBins:
    """Puts a row into bin floor(B · w / W): w is the weight of the rows with lower scores, W that of all, B bins."""
    order = np.argsort(scores, kind="stable")
    unit, labels, weights, scores = unit[order], labels[order], weights[order], scores[order]
    total = weights.sum()
    if total == 0:
        return _CalibrationBins(*(np.empty(0, np.int64) for _ in range(4)))
    _, first, tied = np.unique(scores, return_index=True, return_inverse=True)
    below = (np.cumsum(weights) - weights)[first][tied] / total
    bins = np.minimum((below * NUM_CALIBRATION_BINS).astype(np.int64), NUM_CALIBRATION_BINS - 1)
    numbers, starts = np.unique(bins, return_index=True)
    return _CalibrationBins(unit, weights * (scores - labels), starts, numbers)


class _Ranking(NamedTuple):
    """Rows by ascending score, in segments: each distinct score that a positive has, and the negatives between two.

    The scores of negatives between two such scores need not be distinguished: neither of the two areas depends on their
    order. With P distinct scores of positives there are 2 P + 1 segments; the p-th such score, from 0, is segment
    2 p + 1.

    Attributes:
      num_scores: P.
      positives: The positive rows' units and weights, the position at which each segment with such rows begins, and the
        index, from 0 to P - 1, of that segment's score.
      negatives: The same of the negative rows, but with the index of the segment, from 0 to 2 P.
    """

    num_scores: int
    positives: tuple[Array, Array, Array, Array]
    negatives: tuple[Array, Array, Array, Array]

    def areas(self, of_units: Array) -> dict[str, Array]:
        """Computes `auc` and `auc_pr`, float64 `[num_replicates]`, from unit weights `[num_units, num_replicates]`."""
        rise = _sums(of_units, *self.positives, self.num_scores)
        negatives = _sums(of_units, *self.negatives, 2 * self.num_scores + 1)
        tied, all_negatives = negatives[1::2], negatives.sum(axis=0)
        below = np.cumsum(negatives, axis=0)[:-1:2]
        all_positives = rise.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = (rise * (below + tied / 2)).sum(axis=0) / (all_positives * all_negatives)
            auc_pr = _auc_pr(rise, rise + tied, all_negatives - below) / all_positives
        return {"auc": auc, "auc_pr": np.where(all_negatives > 0, auc_pr, np.nan)}


def _auc_pr(rise: Array, step: Array, negatives: Array) -> Array:
    """Returns the area under the precision-recall curve, times the number of positives (Davis and Goadrich, 2006).

    From one score to the next lower one, the true positives rise linearly with the predicted positives p, from t0 at p0
    with the slope s: the area between is s · (Δt + (t0 - s · p0) · ln(p1 / p0)).

    Args:
      rise: The positives of each score that a positive has, by ascending score, `[num_scores, num_replicates]`.
      step: All rows of the score, of the same shape.
      negatives: All negatives of this score and higher ones, of the same shape.
    """
    true_positives = np.cumsum(rise[::-1], axis=0)[::-1]
    predicted = true_positives + negatives
    slope = np.divide(rise, step, out=np.zeros_like(rise), where=step > 0)
    intercept = true_positives - slope * predicted
    before = predicted - step
    ratio = np.divide(predicted, before, out=np.ones_like(rise), where=before > 0)
    area: Array = (slope * (rise + intercept * np.log(ratio))).sum(axis=0)
    return area


def _ranking(unit: Array, labels: Array, weights: Array, scores: Array) -> _Ranking:
    order = np.argsort(scores, kind="stable")
    unit, positive, weights, scores = unit[order], labels[order] == 1, weights[order], scores[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1])[: len(scores)])
    has_positive = np.add.reduceat(positive, starts) > 0 if len(starts) else np.zeros(0, bool)
    before = np.cumsum(has_positive) - has_positive
    segment = np.repeat(2 * before + has_positive, np.diff(np.append(starts, len(scores))))
    return _Ranking(
        int(has_positive.sum()),
        _segments(unit[positive], weights[positive], segment[positive] // 2),
        _segments(unit[~positive], weights[~positive], segment[~positive]),
    )


def _segments(unit: Array, weights: Array, segment: Array) -> tuple[Array, Array, Array, Array]:
    numbers, starts = np.unique(segment, return_index=True)
    return unit, weights, starts, numbers


def _sums(of_units: Array, unit: Array, weights: Array, starts: Array, numbers: Array, num_segments: int) -> Array:
    """Returns the rows' weights summed by segment, `[num_segments, num_replicates]`."""
    sums = np.zeros((num_segments, of_units.shape[1]))
    if len(unit):
        sums[numbers] = np.add.reduceat(np.take(of_units, unit, axis=0) * weights[:, None], starts, axis=0)
    return sums
