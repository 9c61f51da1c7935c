"""The stages of ingestion that leave out impressions whose labels are not known, and split the others."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam import pvalue

from components.ingestion.formats.blocks import Mask
from components.ingestion.layout import Layout, are_for_evaluation, cut_of_fraction
from components.ingestion.stages import scratch
from components.ingestion.stages.lookups import join_keys
from components.ingestion.stages.span_end import count_minutes
from components.ingestion.stages.task import LOCATIONS, OPEN, Partition, Task, counted

#: The length of the steps in which the cut is searched first.
_SECONDS = 60


class KnownTimes(beam.DoFn):  # type: ignore[misc]
    """Maps a part to the times, as `count_minutes`, of the impressions whose labels are known."""

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(self, partition: Partition, end_of_impressions: float, end_of_installs: float) -> Iterator[Any]:
        yield count_minutes(_known_times(self._task, self._layout, partition, end_of_impressions, end_of_installs))


class CountTimes(beam.DoFn):  # type: ignore[misc]
    """Maps a part to the number of impressions of each time whose labels are known, an input of `CutOfFraction`.

    The times are those at which minutes begin. With the cut by minutes, they are exact in the minute after it, and all
    others are -∞ or ∞: so what is in memory grows with the minutes of a span and the times of a minute, not with the
    rows.
    """

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(
        self,
        partition: Partition,
        end_of_impressions: float,
        end_of_installs: float,
        cut_by_minutes: float | None = None,
    ) -> Iterator[dict[float, int]]:
        times = _known_times(self._task, self._layout, partition, end_of_impressions, end_of_installs)
        if cut_by_minutes is None:
            times = np.floor_divide(times, _SECONDS) * _SECONDS
        else:
            minute = np.nextafter(cut_by_minutes, np.inf)
            times = np.where(times < minute, -np.inf, np.where(times < minute + _SECONDS, times, np.inf))
        found, numbers = np.unique(times, return_counts=True)
        yield dict(zip(found.tolist(), numbers.tolist(), strict=True))


class CutOfFraction(beam.CombineFn):  # type: ignore[misc]
    """The `cut_of_fraction` of the times that `CountTimes` has counted."""

    def __init__(self, eval_fraction: float):
        self._eval_fraction = eval_fraction

    def create_accumulator(self) -> collections.Counter[float]:
        return collections.Counter()

    def add_input(self, counts: collections.Counter[float], times: Mapping[float, int]) -> collections.Counter[float]:
        counts.update(times)
        return counts

    def merge_accumulators(self, accumulators: Iterable[Mapping[float, int]]) -> collections.Counter[float]:
        merged: collections.Counter[float] = collections.Counter()
        for counts in accumulators:
            merged.update(counts)
        return merged

    def extract_output(self, counts: Mapping[float, int]) -> float:
        return cut_of_fraction(counts, self._eval_fraction)


def _known_times(
    task: Task, layout: Layout, partition: Partition, end_of_impressions: float, end_of_installs: float
) -> npt.NDArray[np.float64]:
    times = np.asarray(scratch.read_table(partition.path)[f"c{layout.timestamp}"])
    known: npt.NDArray[np.float64] = times[_known(task, times, end_of_impressions, end_of_installs)]
    return known


def _known(task: Task, times: npt.NDArray[np.float64], end_of_impressions: float, end_of_installs: float) -> Mask:
    """Returns the impressions whose attribution window ends by the end of the logs.

    Those that an install already follows are left out too: keeping only them would overstate the share of positives.
    The end is that of the impressions' log or of the installs' log, whichever is later: if installs are few, the last
    one may be long before the end of a span, and the installs' log may cover a longer time than the impressions' log.
    The end is taken from the logs because no calendar says when a span ends or which time zone its date has.
    """
    installs = task.config.sources.installs
    if installs is None or not installs.leave_out_unknown_labels:
        return np.ones(len(times), bool)
    return times + installs.attribution_seconds <= max(end_of_impressions, end_of_installs)


class SplitPartition(beam.DoFn):  # type: ignore[misc]
    """Leaves out the impressions whose labels are not known, and splits the others: maps parts to parts.

    With a split by time, those after `cut` are for evaluation.
    The rows that can share their label go to buckets. With `late_labels`, those that are left out are split too, and
    are parts of the output `OPEN`.
    """

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(
        self, partition: Partition, end_of_impressions: float, end_of_installs: float, cut: float
    ) -> Iterator[Any]:
        rows = scratch.read_table(partition.path)
        at = self._layout.timestamp
        times = np.zeros(len(rows)) if at is None else np.asarray(rows[f"c{at}"])
        is_known = _known(self._task, times, end_of_impressions, end_of_installs)
        if not is_known.all():
            yield counted(("unknown_label",), np.count_nonzero(~is_known))
            yield from self._open(partition, rows.filter(pa.array(~is_known)), cut)
            rows, times = rows.filter(pa.array(is_known)), times[is_known]
        is_eval = self._is_eval(partition, rows, cut)
        yield from self._label_counts(rows, is_eval, None if at is None else times)
        rows = rows.append_column("eval", pa.array(is_eval, pa.bool_()))
        path = self._task.path("split", partition.order)
        scratch.write_table(path, rows)
        yield partition._replace(path=path)
        if self._layout.label_columns:
            yield from self._to_buckets(partition, rows, times)

    def _open(self, partition: Partition, rows: pa.Table, cut: float) -> Iterator[Any]:
        """Yields a part of impressions whose labels are not known yet, if the next span completes them.

        Of a split by time they are all for evaluation, as the last of the span. The next span's training reads both
        splits of this span.
        """
        if self._task.config.sources.has_late_labels:
            path = self._task.path("open", partition.order)
            is_eval = pa.array(self._is_eval(partition, rows, cut), pa.bool_())
            scratch.write_table(path, rows.append_column("eval", is_eval))
            yield pvalue.TaggedOutput(OPEN, partition._replace(path=path))

    def _is_eval(self, partition: Partition, rows: pa.Table, cut: float) -> Mask:
        if self._task.config.sources.impressions.splits is not None:
            return np.full(len(rows), partition.split == "eval")
        at = self._layout.split
        values = None if at is None else rows[f"c{at}"].combine_chunks()
        return are_for_evaluation(self._task.config.ingestion, partition.file, np.asarray(rows["number"]), values, cut)

    @staticmethod
    def _label_counts(rows: pa.Table, is_eval: Mask, times: npt.NDArray[np.float64] | None) -> Iterable[Any]:
        hours = np.zeros(len(rows)) if times is None else np.floor_divide(times, 3600)
        # One number in place of three: NumPy sorts rows of an array by comparing their bytes, which is slow.
        codes = 4 * hours.astype(np.int64) + 2 * is_eval + np.asarray(rows["label"])
        found, numbers = np.unique(codes, return_counts=True)
        for code, number in zip(found.tolist(), numbers.tolist(), strict=True):
            hour, of_eval, label = code // 4, code // 2 % 2, code % 2
            key = ("label", "eval" if of_eval else "train", str(label), "" if times is None else str(hour))
            yield counted(key, number)

    def _to_buckets(self, partition: Partition, rows: pa.Table, times: npt.NDArray[np.float64]) -> Iterator[Any]:
        keys = join_keys([rows[f"c{at}"] for at in self._layout.label_columns])
        if self._task.config.sources.installs is None:  # the time does not matter
            times = np.zeros(len(rows))
        columns = {"key": keys, "time": times, "eval": rows["eval"], "row": np.arange(len(rows))}
        number = self._task.num_key_buckets
        buckets = scratch.buckets_of_texts(keys, number)
        path = self._task.path("labels", partition.order)
        for location in scratch.write_buckets(path, pa.table(columns), buckets, number, partition.order):
            yield pvalue.TaggedOutput(LOCATIONS, location)
