"""Count encoding: for a row's combinations, the labels known before the row, and the model's inputs from them.

A count that includes a row's own label, or a label that comes from the same install, leaks the label to the model, in
training or in evaluation. So the rows of a window are counted in disjoint cells, and each row sees some of them:

* A row of a later span sees the cells of all earlier spans: their labels were known when its span began.
* The window's first span has no earlier span. Its training rows are dealt into folds so that rows that can share an
  install share a fold (`components.ingestion.layout`), and no row of that span sees its own fold. In training, a row
  sees a random subset of the other folds, redrawn in each epoch: with fixed folds, a model that memorizes an id's
  rows can infer the row's own label from the rest.
* A row with a late label is counted among the rows of the next span, which completed its label, and sees what the rows
  of its own span see: an install may label a row of each (`components.late_labels`). Before the window's first span it
  sees nothing.
* A request sees all cells, that is, everything known today. So does a row of a span after the window.

The model reads the share of positives and the number of rows, not the numbers of positives and negatives: a share means
the same for one span as for seven, so that warm-started weights keep their meaning when the window grows
(`benchmarks.counts`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from transform.combinations import NUM_COUNT_BUCKETS
from transform.example_keys import FOLD, LATE_LABEL, NO_FOLD, NO_SPAN, NUM_FOLDS, SPAN
from transform.feature_spec import FeatureSpec, transformed_name

#: The width of a bucket of shares, in logits.
SHARE_BUCKET_WIDTH = 0.5

#: The bucket around the share of all rows.
MIDDLE_BUCKET = NUM_COUNT_BUCKETS // 2

#: A sentinel above all fingerprints.
_NO_KEY = 2**63 - 1

#: The number of rows that are aggregated at once.
_CHUNK_ROWS = 1_000_000


class Rows(NamedTuple):
    """The columns of rows that counting needs.

    Attributes:
      keys: The fingerprint of each row's combination, int64 `[rows]`, by count.
      labels: 0 or 1, int64 `[rows]`.
      spans: The span by whose end each label was known, int64 `[rows]`: the row's own, or for a late label the next.
      folds: int64 `[rows]`: 0 to NUM_FOLDS - 1 for a training row; NO_FOLD for an evaluation row, whose label no
        training row may see.
    """

    keys: Mapping[str, np.ndarray]
    labels: np.ndarray
    spans: np.ndarray
    folds: np.ndarray


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of a window: one for each fold of the first span, one for that span's other rows, one per later span.

    Attributes:
      spans: The window's spans, ascending, at least one.
      num_folds: The number of folds; 0 if all rows of the first span are in one cell, which none of them sees.
    """

    spans: tuple[int, ...]
    num_folds: int = NUM_FOLDS

    @property
    def number(self) -> int:
        """The number of cells."""
        return self.num_folds + len(self.spans)

    def of_rows(self, rows: Rows) -> np.ndarray:
        """The cell of each row, int64 `[rows]`."""
        number = self.num_folds + np.searchsorted(np.asarray(self.spans, np.int64), rows.spans)
        in_fold = (rows.spans == self.spans[0]) & (rows.folds != NO_FOLD) & (self.num_folds > 0)
        cells: np.ndarray = np.where(in_fold, rows.folds, number)
        return cells

    def seen(self, spans: tf.Tensor, folds: tf.Tensor) -> tf.Tensor:
        """Which cells each row sees in evaluation, bool `[rows, cells]`.

        Args:
          spans: int64 `[rows]`; NO_SPAN for a request.
          folds: int64 `[rows]`.
        """
        cells = tf.range(self.number, dtype=tf.int64)[tf.newaxis]
        window = tf.constant(self.spans, tf.int64)
        num_before = self.num_folds + tf.searchsorted(window, spans, out_type=tf.int64)
        num_before = tf.where((spans == NO_SPAN) | (spans > window[-1]), tf.constant(self.number, tf.int64), num_before)
        num_before = tf.where((spans != NO_SPAN) & (spans < window[0]), tf.zeros([], tf.int64), num_before)
        own = (spans == window[0])[:, tf.newaxis] & (cells == folds[:, tf.newaxis])
        return (cells < num_before[:, tf.newaxis]) & ~own

    def drawn(self, seen: tf.Tensor, spans: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Which cells each row sees in training: for rows of the first span, a random part of `seen`.

        The share of the folds is itself drawn for each row, uniformly from 0 to 1, so that the model learns how little
        a small count is worth.

        Args:
          seen: The result of `seen`.
          spans: int64 `[rows]`.
          seed: int32 `[2]`.

        Returns:
          bool `[rows, cells]`.
        """
        shares = tf.random.stateless_uniform([tf.shape(seen)[0], 1], seed)
        draws = tf.random.stateless_uniform(tf.shape(seen), seed + 1)
        return seen & ((spans != self.spans[0])[:, tf.newaxis] | (draws < shares))


class CountTables(tf.Module):  # type: ignore[misc]
    """The counts, and the model's inputs computed from them.

    Args:
      spec: The features.
      cells: The cells.
      keys: The combinations' fingerprints, int64 `[combinations]`, ascending, for each count that the model reads.
      numbers: By count, the negatives and positives of each combination in each cell, int32 `[combinations, cells, 2]`.
      share: The positives' share of all rows, above 0 and below 1.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        cells: Cells,
        keys: Mapping[str, np.ndarray],
        numbers: Mapping[str, np.ndarray],
        share: float,
    ) -> None:
        super().__init__(name="counts")
        self._spec, self._cells, self._share = spec, cells, share
        self._keys = {name: self._variable(np.append(values, _NO_KEY)) for name, values in keys.items()}
        none = np.zeros([1, cells.number, 2], np.int32)  # the counts for `_NO_KEY`
        self._numbers = {name: self._variable(np.concatenate([values, none])) for name, values in numbers.items()}

    @staticmethod
    def _variable(values: np.ndarray) -> tf.Variable:
        return tf.Variable(values, trainable=False, name="counts")

    def features(self, features: Mapping[str, Any], seed: tf.Tensor | None = None) -> dict[str, Any]:
        """Replaces the counts' keys by the model's inputs.

        Args:
          features: By transformed name, as tf.Transform outputs them; only the counts whose key is among them are
            computed. Without SPAN, the rows are requests.
          seed: int32 `[2]` for training; None for evaluation.

        Returns:
          The features with the counts' inputs, int64 `[rows]`, in place of the counts' keys, SPAN, FOLD and LATE_LABEL.
        """
        counts = [
            c for c in self._spec.count_encodings if c.name in self._keys and transformed_name(c.key_name) in features
        ]
        replaced = {SPAN, FOLD, LATE_LABEL, *(transformed_name(count.key_name) for count in self._spec.count_encodings)}
        found = {name: value for name, value in features.items() if name not in replaced}
        seen = None
        if counts and SPAN in features:
            spans, folds = (tf.reshape(features[name], [-1]) for name in (SPAN, FOLD))
            seen = self._cells.seen(spans, folds)
            if seed is not None:
                seen = self._cells.drawn(seen, spans, seed)
        for count in counts:
            share, rows = self._buckets(count.name, features[transformed_name(count.key_name)], seen)
            found[transformed_name(count.input_name("share"))] = share
            found[transformed_name(count.input_name("rows"))] = rows
        return found

    def _buckets(self, name: str, keys: tf.Tensor, seen: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.searchsorted(self._keys[name], keys, out_type=tf.int64)
        cells = tf.gather(self._numbers[name], places)
        if seen is not None:
            cells *= tf.cast(seen, tf.int32)[:, :, tf.newaxis]
        is_known = tf.gather(self._keys[name], places) == keys
        sums = tf.reduce_sum(cells, axis=1) * tf.cast(is_known, tf.int32)[:, tf.newaxis]
        negatives, positives = tf.unstack(tf.cast(sums, tf.int64), axis=1)
        return share_bucket(negatives, positives, self._share), rows_bucket(negatives + positives)

    def make_last_span_tables(self) -> CountTables:
        """Returns tables for requests and the rows of the window's last span, reduced to the cells that these need."""
        spans = self._cells.spans
        if len(spans) == 1:
            return self
        keys = {name: values.numpy()[:-1] for name, values in self._keys.items()}
        numbers = {}
        for name, values in self._numbers.items():
            of_cells = values.numpy()[:-1]
            numbers[name] = np.stack([of_cells[:, :-1].sum(axis=1), of_cells[:, -1]], axis=1).astype(np.int32)
        return CountTables(self._spec, Cells(spans[-2:], num_folds=0), keys, numbers, self._share)


def share_bucket(negatives: tf.Tensor, positives: tf.Tensor, share: float) -> tf.Tensor:
    """The bucket of the positives' share of some rows.

    It is round(2 · (logit((p + s) / (p + n + 1)) - logit(s))) + MIDDLE_BUCKET, clipped to 0 … NUM_COUNT_BUCKETS - 1,
    with n negatives, p positives and s the share of all rows. This adds a virtual row, a share s of which is positive.
    So a combination without rows, or with the same share as all rows, is in the middle bucket.

    Args:
      negatives: int64 of any shape.
      positives: The same.
      share: s, above 0 and below 1.

    Returns:
      int64 of the same shape.
    """
    # In float64, so that different ways to compute it do not round to different buckets.
    odds = (tf.cast(positives, tf.float64) + share) / (tf.cast(negatives, tf.float64) + (1 - share))
    lift = tf.math.log(odds) - math.log(share / (1 - share))
    bucket = tf.cast(tf.round(lift / SHARE_BUCKET_WIDTH), tf.int64) + MIDDLE_BUCKET
    return tf.clip_by_value(bucket, 0, NUM_COUNT_BUCKETS - 1)


def rows_bucket(numbers: tf.Tensor) -> tf.Tensor:
    """0 for 0, else k for a number from 2^(k - 1) to 2^k - 1; the last bucket is unbounded. int64 of any shape."""
    powers = tf.constant([2**k for k in range(NUM_COUNT_BUCKETS - 1)], tf.int64)
    flat = tf.searchsorted(powers, tf.reshape(numbers, [-1]), side="right", out_type=tf.int64)
    return tf.reshape(flat, tf.shape(numbers))


def count_rows(spec: FeatureSpec, batches: Iterable[Rows]) -> CountTables:
    """Counts rows.

    Args:
      spec: The features.
      batches: The rows of the window, of both splits.

    Returns:
      The tables. For each count, they keep the `max_size` combinations with the most rows, ties going to the lowest
      fingerprints.
    """
    sums = {count.name: _Sums() for count in spec.count_encodings}
    for rows in batches:
        for name, keys in rows.keys.items():
            sums[name].add(np.stack([keys, rows.spans, rows.folds, rows.labels]))
    found = {name: s.total() for name, s in sums.items()}
    spans = np.unique(np.concatenate([np.zeros(0, np.int64), *(columns[1] for columns, _ in found.values())]))
    cells = Cells(tuple(spans.tolist()) or (0,))
    by_label = np.zeros(2, np.int64)
    keys_of, numbers_of = {}, {}
    for count in (count for count in spec.count_encodings if count.name in found):
        (keys, of_span, folds, labels), number = found[count.name]
        by_label = np.bincount(labels, number, minlength=2)
        distinct, places = np.unique(keys, return_inverse=True)
        of_cell = cells.of_rows(Rows({}, labels, of_span, folds))
        if count.max_size is not None and distinct.size > count.max_size:  # before the cells, 8 bytes each
            totals = np.zeros(distinct.size, np.int64)
            np.add.at(totals, places, number)
            kept = np.sort(np.argsort(-totals, kind="stable")[: count.max_size])
            is_kept = np.isin(places, kept)
            places, distinct = np.searchsorted(kept, places[is_kept]), distinct[kept]
            of_cell, labels, number = of_cell[is_kept], labels[is_kept], number[is_kept]
        numbers = np.zeros([distinct.size, cells.number, 2], np.int32)
        np.add.at(numbers, (places, of_cell, labels), number)
        keys_of[count.name], numbers_of[count.name] = distinct, numbers
    share = float((by_label[1] + 1) / (by_label.sum() + 2))
    return CountTables(spec, cells, keys_of, numbers_of, share)


class _Sums:
    """Counts equal columns of integers, from columns that come in batches."""

    def __init__(self) -> None:
        self._columns: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []
        self._pending = 0

    def add(self, columns: np.ndarray) -> None:
        """Adds columns, int64 `[rows of a column, columns]`."""
        self._columns.append(columns)
        self._numbers.append(np.ones(columns.shape[1], np.int64))
        self._pending += columns.shape[1]
        if self._pending >= max(_CHUNK_ROWS, self._numbers[0].size):
            self._sum_up()

    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct columns, int64 `[4, distinct]`, and how often each occurred, int64 `[distinct]`."""
        self._sum_up()
        return self._columns[0], self._numbers[0]

    def _sum_up(self) -> None:
        columns = np.concatenate([np.zeros([4, 0], np.int64), *self._columns], axis=1)
        numbers = np.concatenate([np.zeros(0, np.int64), *self._numbers])
        order = np.lexsort(columns)
        columns, numbers = columns[:, order], numbers[order]
        starts = np.flatnonzero(np.any(columns[:, 1:] != columns[:, :-1], axis=0)) + 1
        starts = np.append(0, starts) if numbers.size else starts
        self._columns = [columns[:, starts]]
        self._numbers = [np.add.reduceat(numbers, starts) if numbers.size else numbers]
        self._pending = 0
