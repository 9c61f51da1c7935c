"""What ranks and bins of scores contribute to metrics: areas under curves, and residuals of calibration bins.

The sums of ranges of scores add up, given what the rows outside of a range sum up to (`Around`).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from components.evaluation.metrics import bootstrap
from components.evaluation.metrics.bootstrap import Array

#: The number of bins of the calibration error.
NUM_CALIBRATION_BINS = 20

#: The number of sums of `Areas`.
NUM_AREAS = 2 + NUM_CALIBRATION_BINS


@dataclasses.dataclass(frozen=True)
class Around:
    """What the rows outside of a range of scores sum up to.

    Attributes:
      above: The weights of the positives and of the negatives with higher scores, `[2, 1 + NUM_REPLICATES]`.
      below: The weight of the negatives with lower scores, `[1 + NUM_REPLICATES]`.
      weight_below: The weight, in the data, of all rows with lower scores.
      weight: The weight, in the data, of all rows, within the range too.
    """

    above: Array
    below: Array
    weight_below: float
    weight: float

    @classmethod
    def nothing(cls, weight: float) -> Around:
        """Returns what is around all rows, whose weight is given."""
        size = 1 + bootstrap.NUM_REPLICATES
        return cls(np.zeros((2, size)), np.zeros(size), 0.0, weight)


class Areas:
    """The sums of a range, as a function of a block of replicates: `[NUM_AREAS, num_replicates]`.

    The first is the area of AUC, times all positives and all negatives; the second that under the precision-recall
    curve, times all positives; then come the calibration bins' sums of weighted differences of score and label.

    Args:
      unit: The number of each row's unit, `[num_rows]`.
      labels: 0 or 1, float64 `[num_rows]`.
      weights: float64 `[num_rows]`.
      scores: A model's scores, none NaN, float64 `[num_rows]`.
      around: What is around the range.
    """

    def __init__(self, unit: Array, labels: Array, weights: Array, scores: Array, around: Around):
        self._around = around
        self._ranking = _ranking(unit, labels, weights, scores)
        self._bins = _calibration_bins(unit, labels, weights, scores, around)

    def __call__(self, place: slice, of_units: Array) -> Array:
        """Returns the sums of the replicates at `place`, given the units' weights in them."""
        areas = self._ranking.areas(of_units, self._around.above[:, place], self._around.below[place])
        return np.concatenate([areas, self._bins.sums(of_units)])


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

    def sums(self, of_units: Array) -> Array:
        """Returns the sums of the bins' residuals, float64 `[NUM_CALIBRATION_BINS, num_replicates]`."""
        return _sums(of_units, *self, NUM_CALIBRATION_BINS)


def _calibration_bins(unit: Array, labels: Array, weights: Array, scores: Array, around: Around) -> _CalibrationBins:
    """Puts a row into bin floor(B · w / W): w is the weight of the rows with lower scores, W that of all, B bins."""
    order = np.argsort(scores, kind="stable")
    unit, labels, weights, scores = unit[order], labels[order], weights[order], scores[order]
    if around.weight == 0:
        return _CalibrationBins(*(np.empty(0, np.int64) for _ in range(4)))
    _, first, tied = np.unique(scores, return_index=True, return_inverse=True)
    below = ((np.cumsum(weights) - weights)[first][tied] + around.weight_below) / around.weight
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

    def areas(self, of_units: Array, above: Array, below: Array) -> Array:
        """Computes both areas, float64 `[2, num_replicates]`, from unit weights `[num_units, num_replicates]`.

        The other arguments are those of `Around`.
        """
        rise = _sums(of_units, *self.positives, self.num_scores)
        negatives = _sums(of_units, *self.negatives, 2 * self.num_scores + 1)
        tied = negatives[1::2]
        lower = np.cumsum(negatives, axis=0)[:-1:2]
        auc = (rise * (lower + below + tied / 2)).sum(axis=0)
        auc_pr = _auc_pr(rise, rise + tied, negatives.sum(axis=0) - lower + above[1], above[0])
        return np.stack([auc, auc_pr])


def _auc_pr(rise: Array, step: Array, negatives: Array, above: Array) -> Array:
    """Returns the area under the precision-recall curve, times the number of positives (Davis and Goadrich, 2006).

    From one score to the next lower one, the true positives rise linearly with the predicted positives p, from t0 at p0
    with the slope s: the area between is s · (Δt + (t0 - s · p0) · ln(p1 / p0)).

    Args:
      rise: The positives of each score that a positive has, by ascending score, `[num_scores, num_replicates]`.
      step: All rows of the score, of the same shape.
      negatives: All negatives of this score and higher ones, of the same shape.
      above: The positives above all of these scores, `[num_replicates]`.
    """
    true_positives = np.cumsum(rise[::-1], axis=0)[::-1] + above
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
