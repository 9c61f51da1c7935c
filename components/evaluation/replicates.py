"""Sums over the data and over each bootstrap replicate of it, as mergeable Beam CombineFns.

An accumulator keeps rows of numbers until they are many, and then folds them into their sums: its size is bounded, and
small data is summed in an order of its own, so that not even the last digit depends on how Beam bundles it.
"""

from __future__ import annotations

import abc
import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics.metric_types import MetricKey

from components.evaluation import bootstrap
from components.evaluation.bootstrap import Array

#: An accumulator folds when it has so many rows: 40 bytes each, as far as the rows here go.
MAX_ROWS = 65_536

#: Rows whose replicate weights are held at once: 13 MB.
_ROWS_AT_ONCE = 8_192

#: Scores are compared with the label's logarithm at least this far from 0 and 1, as Keras does.
_EPSILON = 1e-7

#: Scores are counted by the bucket of their logit, from -12 to 12, each 0.006 wide. Within a bucket all is a tie, which
#: moves AUC by less than a hundredth of its standard error (measured: 0.7496 ± 0.0054 by 0.00003).
_MAX_LOGIT = 12.0
NUM_BUCKETS = 4096

#: What `RowMetrics` computes.
ROW_METRICS = ("auc", "auc_pr", "logloss")

Accumulator = tuple[Any, Array | None]


class ReplicateSums(beam.CombineFn, abc.ABC):  # type: ignore[misc]
    """Sums over rows; a row's first number is the hash of the bootstrap's unit that it belongs to.

    Args:
      num_columns: Of a row.
      num_replicates: 0 sums the data alone.
      max_rows: An accumulator folds its rows when it has more.
    """

    def __init__(self, num_columns: int, num_replicates: int, max_rows: int = MAX_ROWS):
        self._num_columns = num_columns
        self._num_replicates = num_replicates
        self._max_rows = max_rows

    def create_accumulator(self) -> Accumulator:
        return array.array("d"), None

    def add_input(self, accumulator: Accumulator, row: Sequence[float]) -> Accumulator:
        accumulator[0].extend(row)
        return self.compact(accumulator)

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        merged = self.create_accumulator()
        for rows, sums in accumulators:
            merged[0].extend(rows)
            total = sums if merged[1] is None else merged[1] if sums is None else merged[1] + sums
            merged = self.compact((merged[0], total))
        return merged

    def compact(self, accumulator: Accumulator) -> Accumulator:
        rows, _ = accumulator
        if len(rows) <= self._max_rows * self._num_columns:
            return accumulator
        return array.array("d"), self.sums(accumulator)

    def sums(self, accumulator: Accumulator) -> Array:
        """The sums of all rows, of shape `[..., 1 + num_replicates]`."""
        flat, total = accumulator
        rows = np.frombuffer(flat, dtype=np.float64).reshape(-1, self._num_columns)
        rows = rows[np.lexsort(rows.T)]
        for begin in range(0, max(len(rows), 1), _ROWS_AT_ONCE):
            chunk = rows[begin : begin + _ROWS_AT_ONCE]
            units, unit = np.unique(chunk[:, 0], return_inverse=True)
            weights = bootstrap.replicate_weights(units, self._num_replicates)[unit]
            part = self.fold(chunk[:, 1:], weights)
            total = part if total is None else total + part
        assert total is not None
        return total

    @abc.abstractmethod
    def fold(self, rows: Array, weights: Array) -> Array:
        """Sums rows without their hashes, by their weights `[num_rows, 1 + num_replicates]`."""


class MeanOfGroups(ReplicateSums):
    """Means over groups; a row is a hash, and for each model a value and its weight in the mean.

    Args:
      key: Under which the means are given.
      num_models: How many there are.
      num_replicates: As above.
      max_rows: As above.
    """

    def __init__(self, key: MetricKey, num_models: int, num_replicates: int, max_rows: int = MAX_ROWS):
        super().__init__(1 + 2 * num_models, num_replicates, max_rows)
        self._key = key

    def fold(self, rows: Array, weights: Array) -> Array:
        values, of_groups = rows[:, 0::2], rows[:, 1::2]
        sums: Array = np.concatenate([(values * of_groups).T @ weights, of_groups.T @ weights])
        return sums

    def extract_output(self, accumulator: Accumulator) -> dict[MetricKey, Array]:
        """The means, `[1 + num_replicates, num_models]`; not a number where there is no group."""
        numerators, denominators = np.split(self.sums(accumulator), 2)
        with np.errstate(invalid="ignore"):
            return {self._key: (numerators / denominators).T}


class RowMetrics(ReplicateSums):
    """AUC, area under the precision-recall curve and log loss of two models.

    A row is a hash, a label, a weight, and the score of each model. One that is not a number makes all of its model's
    metrics so.

    Args:
      keys: By metric, under which key its values are given.
      num_replicates: As above.
      max_rows: As above.
    """

    def __init__(self, keys: Mapping[str, MetricKey], num_replicates: int, max_rows: int = MAX_ROWS):
        super().__init__(5, num_replicates, max_rows)
        self._keys = dict(keys)

    def fold(self, rows: Array, weights: Array) -> Array:
        """Yields `[2, 2 * NUM_BUCKETS + 1, 1 + num_replicates]`: by model, negatives, positives, and the loss."""
        labels, scores = rows[:, 0], rows[:, 2:].T
        weights = weights * rows[:, 1, None]
        sums = np.zeros((2, 2 * NUM_BUCKETS + 1, weights.shape[1]))
        for model, of_model in zip(sums, scores, strict=True):
            if np.isnan(of_model).any():
                model[:] = np.nan
                continue
            inside = np.clip(of_model, _EPSILON, 1 - _EPSILON)
            logits = np.log(inside / (1 - inside))
            scaled = np.clip((logits / _MAX_LOGIT + 1) / 2 * NUM_BUCKETS, 0, NUM_BUCKETS - 1)
            buckets = scaled.astype(np.int64) + (labels * NUM_BUCKETS).astype(np.int64)
            order = np.argsort(buckets, kind="stable")
            found, first = np.unique(buckets[order], return_index=True)
            model[found] = np.add.reduceat(weights[order], first)
            model[-1] = -np.log(np.where(labels == 1, inside, 1 - inside)) @ weights
        return sums

    def extract_output(self, accumulator: Accumulator) -> dict[MetricKey, Array]:
        """By metric, the values `[1 + num_replicates, 2]`; not a number where it is not defined."""
        sums = self.sums(accumulator)
        losses, counts = sums[:, -1], sums[:, :-1].reshape(2, 2, NUM_BUCKETS, -1)
        filled = counts[..., 0].any(axis=(0, 1))  # in a small slice few are
        negatives, positives = counts[:, 0, filled], counts[:, 1, filled]
        with np.errstate(invalid="ignore", divide="ignore"):
            total = negatives.sum(axis=1) + positives.sum(axis=1)
            values = {
                "auc": _auc(negatives, positives),
                "auc_pr": _auc_pr(negatives, positives),
                "logloss": losses / total,
            }
        return {key: values[name].T for name, key in self._keys.items()}


def _auc(negatives: Array, positives: Array) -> Array:
    """The area under the ROC curve by counts `[..., num_buckets, num_replicates]`, a bucket's pairs as ties."""
    below = np.cumsum(negatives, axis=-2) - negatives
    pairs = negatives.sum(axis=-2) * positives.sum(axis=-2)
    area: Array = (positives * (below + negatives / 2)).sum(axis=-2) / pairs
    return area


def _auc_pr(negatives: Array, positives: Array) -> Array:
    """The area under the precision-recall curve by the same counts, interpolated as Davis and Goadrich (2006) do.

    From one bucket to the next lower one, the true positives rise in a line with all predicted positives p, from t0 at
    p0 by the slope s: the area between is s · (Δt + (t0 - s · p0) · ln(p1 / p0)) ÷ the number of positives.
    """
    positives, negatives = np.flip(positives, axis=-2), np.flip(negatives, axis=-2)
    rise, step = positives, positives + negatives
    true_positives, predicted = np.cumsum(rise, axis=-2), np.cumsum(step, axis=-2)
    slope = np.divide(rise, step, out=np.zeros_like(rise), where=step > 0)
    intercept = true_positives - slope * predicted
    before = predicted - step
    ratio = np.divide(predicted, before, out=np.ones_like(rise), where=before > 0)
    area: Array = (slope * (rise + intercept * np.log(ratio))).sum(axis=-2) / positives.sum(axis=-2)
    return area
