"""The stages of ingestion that add to impressions: tables' rows, labels, the split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam import pvalue

from components.ingestion.counts import CountKey
from components.ingestion.formats.blocks import Mask
from components.ingestion.formats.raw_rows import Rejection, kept_text
from components.ingestion.formats.readers import unit_of
from components.ingestion.layout import Layout, for_evaluation, row_key
from components.ingestion.stages import scratch
from components.ingestion.stages.lookups import InstallTimes, KeyIndex, join_keys
from components.ingestion.stages.span_end import count_minutes
from components.ingestion.stages.task import (
    INSTALL_LOG,
    INSTALLS,
    LOCATIONS,
    OPEN,
    TIMES,
    Order,
    Partition,
    Task,
    counted,
    repeated_rows,
    values_of,
)
from transform.feature import IMPRESSIONS

#: The rows of a part whose ids earlier rows have, as `FindRepeated` gives them.
Repeated = npt.NDArray[np.int64]

#: The installs that follow an impression within the window, and those with an impression of the same keys: a bit for
#: each install, sorted by keys and time, in arrays of uint8.
FoundInstalls = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


class JoinPartition(beam.DoFn):  # type: ignore[misc]
    """Rejects repeated ids and unmatched keys, and joins tables and labels: (part's order, groups) to parts.

    Args:
      task: The task.
      files: The log's files, in their order.
    """

    def __init__(self, task: Task, files: tuple[str, ...]):
        self._task, self._files = task, files
        self._layout = Layout(task.config)

    def setup(self) -> None:
        self._keys: dict[str, KeyIndex] = {}
        self._installs: dict[str, InstallTimes] = {}

    def process(self, element: tuple[Order, dict[str, Any]], lookups: dict[str, str]) -> Iterator[Any]:
        order, groups = element
        (partition,) = groups["part"]
        rows = scratch.read_table(partition.path)
        rejections, is_kept = self._repeated(partition, rows, list(groups["repeated"]))
        for at, (name, table) in enumerate(self._task.config.sources.tables.items()):
            found = self._found(rows, name, lookups)
            unmatched = is_kept & (found < 0)
            if unmatched.any():
                kind = "unmatched_rejected" if table.reject_unmatched else "unmatched"
                yield counted((kind, name), np.count_nonzero(unmatched))
            if table.reject_unmatched:
                rejections += self._unmatched(partition, rows, name, np.flatnonzero(unmatched))
                is_kept &= ~unmatched
            rows = rows.append_column(f"t{at}", pa.array(found, pa.int32(), mask=found < 0))
        yield from self._task.rejected("join", order, sorted(rejections, key=lambda row: row.line))
        rows = rows.filter(pa.array(is_kept))
        if self._task.config.sources.installs is None:
            rows = rows.append_column("label", rows[f"c{self._layout.label}"])
        else:
            rows, attributed, seen = self._labelled(rows, lookups[INSTALL_LOG])
            yield pvalue.TaggedOutput(INSTALLS, (np.packbits(attributed), np.packbits(seen)))
        if self._layout.timestamp is not None:
            yield pvalue.TaggedOutput(TIMES, count_minutes(np.asarray(rows[f"c{self._layout.timestamp}"])))
        path = self._task.path("joined", order)
        scratch.write_table(path, rows)
        yield partition._replace(path=path)

    def _repeated(self, partition: Partition, rows: pa.Table, repeated: list[Repeated]) -> tuple[list[Rejection], Mask]:
        """Returns the rejections of impressions whose id an earlier one has, and which impressions are left."""
        is_kept = np.ones(len(rows), bool)
        if not repeated:
            return [], is_kept
        found = np.concatenate(repeated)
        found = found[np.argsort(found[:, 0])]
        is_kept[found[:, 0]] = False
        log, position = self._task.config.sources.impressions, self._layout.impression_id
        assert position is not None
        numbers = np.asarray(rows["number"])
        rejections = repeated_rows(
            (IMPRESSIONS, "duplicate_impression_id", str(log.impression_id), unit_of(log.format)),
            [(partition.file, int(numbers[at]), self._files[rank], first) for at, rank, first in found.tolist()],
            self._values(rows, found[:, 0]),
            position,
        )
        return rejections, is_kept

    def _found(self, rows: pa.Table, name: str, lookups: dict[str, str]) -> npt.NDArray[np.int64]:
        """Returns the position of each impression's row in a table; -1 where there is none."""
        path = lookups[name]
        if path not in self._keys:
            self._keys[path] = KeyIndex(scratch.read_table(path)["key"].combine_chunks())
        (position,) = self._layout.key_positions(IMPRESSIONS, [self._task.config.sources.tables[name].log_column])
        return self._keys[path].positions(rows[f"c{position}"].combine_chunks().cast(pa.large_string()))

    def _values(self, rows: pa.Table, positions: npt.NDArray[Any]) -> list[tuple[Any, ...]]:
        return values_of(rows.take(pa.array(positions)), len(self._task.config.columns[IMPRESSIONS]))

    def _unmatched(
        self, partition: Partition, rows: pa.Table, name: str, positions: npt.NDArray[Any]
    ) -> list[Rejection]:
        column = self._task.config.sources.tables[name].log_column
        (position,) = self._layout.key_positions(IMPRESSIONS, [column])
        numbers = np.asarray(rows["number"])
        return [
            Rejection(
                IMPRESSIONS,
                partition.file,
                int(numbers[at]),
                "unmatched_key",
                f"`{column}` must be a key of the table `{name}`. Received: {row[position]!r}",
                kept_text(repr(row)),
            )
            for at, row in zip(positions.tolist(), self._values(rows, positions), strict=True)
        ]

    def _labelled(self, rows: pa.Table, path: str) -> tuple[pa.Table, Mask, Mask]:
        if path not in self._installs:
            self._installs[path] = InstallTimes(scratch.read_table(path))
        settings = self._task.config.sources.installs
        assert settings is not None
        positions = self._layout.key_positions(IMPRESSIONS, settings.keys)
        found = self._installs[path].label(
            join_keys([rows[f"c{at}"] for at in positions]),
            np.asarray(rows[f"c{self._layout.timestamp}"]),
            settings.clock_skew_seconds,
            settings.attribution_seconds,
        )
        return rows.append_column("label", pa.array(found.labels)), found.attributed, found.seen


def unite_installs(found: Iterable[FoundInstalls]) -> FoundInstalls:
    """Returns the installs that `JoinPartition` has found in any partition; empty arrays without installs."""
    pairs = [pair for pair in found if len(pair[0])]
    if not pairs:
        return np.zeros(0, np.uint8), np.zeros(0, np.uint8)
    attributed, seen = zip(*pairs, strict=True)
    return np.bitwise_or.reduce(attributed), np.bitwise_or.reduce(seen)


def count_installs(lookup: tuple[str, str], found: FoundInstalls) -> list[tuple[CountKey, int]]:
    """Returns the counts of installs by the impressions that precede them.

    Args:
      lookup: A lookup's name and path, of `BuildLookups`; one other than that of the installs has no counts.
      found: The `unite_installs` all parts.
    """
    name, path = lookup
    if name != INSTALL_LOG:
        return []
    number = len(scratch.read_table(path))
    attributed, seen = (_unpack_mask(bits, number) for bits in found)
    kinds = {"attributed": attributed, "outside_window": seen & ~attributed, "without_impression": ~seen & ~attributed}
    return [(("install", kind), int(mask.sum())) for kind, mask in kinds.items() if mask.any()]


def _unpack_mask(bits: npt.NDArray[np.uint8], number: int) -> Mask:
    """Unpacks `number` bits; those that an empty array lacks, where no part was read, are False."""
    padded = np.zeros((number + 7) // 8, np.uint8)
    padded[: len(bits)] = bits
    return np.unpackbits(padded, count=number).astype(bool)  # NumPy does not set what it adds to an empty array


class KnownTimes(beam.DoFn):  # type: ignore[misc]
    """Maps a part to the times, as `count_minutes`, of the impressions whose labels are known."""

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(self, partition: Partition, end_of_impressions: float, end_of_installs: float) -> Iterator[Any]:
        times = np.asarray(scratch.read_table(partition.path)[f"c{self._layout.timestamp}"])
        yield count_minutes(times[_known(self._task, times, end_of_impressions, end_of_installs)])


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

    The rows that can share their label go to buckets. With `late_labels`, those that are left out are split too, and
    are parts of the output `OPEN`.
    """

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(
        self, partition: Partition, end_of_impressions: float, end_of_installs: float, latest: float
    ) -> Iterator[Any]:
        rows = scratch.read_table(partition.path)
        at = self._layout.timestamp
        times = np.zeros(len(rows)) if at is None else np.asarray(rows[f"c{at}"])
        is_known = _known(self._task, times, end_of_impressions, end_of_installs)
        if not is_known.all():
            yield counted(("unknown_label",), np.count_nonzero(~is_known))
            yield from self._open(partition, rows.filter(pa.array(~is_known)), times[~is_known], latest)
            rows, times = rows.filter(pa.array(is_known)), times[is_known]
        is_eval = self._is_eval(partition, rows, times, latest)
        yield from self._label_counts(rows, is_eval, None if at is None else times)
        rows = rows.append_column("eval", pa.array(is_eval, pa.bool_()))
        path = self._task.path("split", partition.order)
        scratch.write_table(path, rows)
        yield partition._replace(path=path)
        if self._layout.label_columns:
            yield from self._to_buckets(partition, rows, times)

    def _open(
        self, partition: Partition, rows: pa.Table, times: npt.NDArray[np.float64], latest: float
    ) -> Iterator[Any]:
        """Yields a part of impressions whose labels are not known yet, if the next span completes them.

        Of a split by time they are all for evaluation, as the last of the span. The next span's training reads both
        splits of this span.
        """
        if self._task.config.sources.has_late_labels:
            path = self._task.path("open", partition.order)
            is_eval = pa.array(self._is_eval(partition, rows, times, latest), pa.bool_())
            scratch.write_table(path, rows.append_column("eval", is_eval))
            yield pvalue.TaggedOutput(OPEN, partition._replace(path=path))

    def _is_eval(self, partition: Partition, rows: pa.Table, times: npt.NDArray[np.float64], latest: float) -> Mask:
        rule, layout = self._task.config.ingestion, self._layout
        if self._task.config.sources.impressions.splits is not None:
            return np.full(len(rows), partition.split == "eval")
        if rule.split_by == "time":
            return times > latest - rule.eval_seconds
        if rule.split_by == "row_hash":
            keys = map(row_key, itertools.repeat(partition.file), np.asarray(rows["number"]).tolist())
            return for_evaluation(keys, rule.eval_fraction)
        position = layout.request_id if rule.split_by == "request_hash" else layout.impression_id
        keys = rows[f"c{position}"].combine_chunks().dictionary_encode()
        texts = keys.dictionary.to_numpy(zero_copy_only=False).tolist()
        is_eval: Mask = for_evaluation(texts, rule.eval_fraction)[np.asarray(keys.indices)]
        return is_eval

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
