"""The stage of ingestion that adds to impressions: tables' rows, labels."""

from __future__ import annotations

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
from components.ingestion.layout import Layout
from components.ingestion.stages import scratch
from components.ingestion.stages.event_files import sum_outcomes
from components.ingestion.stages.lookups import InstallTimes, KeyIndex, join_keys
from components.ingestion.stages.span_end import count_minutes
from components.ingestion.stages.task import (
    EVENT_INDEX,
    INSTALL_LOG,
    INSTALLS,
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
        for at, (name, table) in enumerate(self._task.config.sources.joined_tables.items()):
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


def count_events(lookup: tuple[str, str], outcomes: Iterable[str]) -> list[tuple[CountKey, int]]:
    """Returns the counts of the events of served rankings by their outcomes.

    Args:
      lookup: A lookup's name and path, of `BuildLookups`; one other than the index of events has no counts.
      outcomes: The files of all parts of the log, which `ReadFiles` has written.
    """
    name, path = lookup
    if name != EVENT_INDEX:
        return []
    return [(("event", reason), number) for reason, number in sum_outcomes(path, outcomes).items()]


def _unpack_mask(bits: npt.NDArray[np.uint8], number: int) -> Mask:
    """Unpacks `number` bits; those that an empty array lacks, where no part was read, are False."""
    padded = np.zeros((number + 7) // 8, np.uint8)
    padded[: len(bits)] = bits
    return np.unpackbits(padded, count=number).astype(bool)  # NumPy does not set what it adds to an empty array
