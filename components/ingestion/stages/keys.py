"""The stages of ingestion in which equal keys meet: repeated ids, tables, installs, shared labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from components.examples.writing import write_records
from components.ingestion.columns.parser import empty_table
from components.ingestion.example_rows import ExampleEncoder
from components.ingestion.formats.raw_rows import Rejection
from components.ingestion.formats.readers import unit_of
from components.ingestion.layout import Layout
from components.ingestion.served.events import index_events
from components.ingestion.stages import scratch
from components.ingestion.stages.event_files import write_index
from components.ingestion.stages.lookups import find_firsts, join_keys, sharing
from components.ingestion.stages.scratch import BatchLocation
from components.ingestion.stages.task import (
    EVENT_INDEX,
    INSTALL_LOG,
    ROWS_AT_ONCE,
    Order,
    Partition,
    Task,
    repeated_rows,
    to_columns,
    values_of,
)


class FindRepeated(beam.DoFn):  # type: ignore[misc]
    """Finds the rows whose key an earlier row has, in a bucket: (bucket, places) to (part's order, the rows).

    The rows are given as an array with a row for each: its position in the part, the rank of the file with the first
    row of its key, and the number of that row.

    Args:
      with_first: Whether the first row is found too: of requests with one id, it is not known whose events are whose.
    """

    def __init__(self, with_first: bool = False):
        self._with_first = with_first

    def process(self, element: tuple[int, Iterable[BatchLocation]]) -> Iterator[tuple[Order, npt.NDArray[Any]]]:
        locations = sorted(element[1])
        tables = [scratch.read(location) for location in locations]
        rows = pa.concat_tables(tables)
        firsts = find_firsts(rows["key"].cast(pa.large_string()).combine_chunks())  # may exceed 2 GiB
        numbers, positions = np.asarray(rows["number"]), np.asarray(rows["row"])
        partitions = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        ranks = np.array([location.order[0] for location in locations])
        is_found = firsts != np.arange(len(firsts))
        if self._with_first:
            is_found[firsts[is_found]] = True
        repeated = np.flatnonzero(is_found)
        first = firsts[repeated]
        found = np.stack([positions[repeated], ranks[partitions[first]], numbers[first]], axis=1)
        for at in np.unique(partitions[repeated]).tolist():
            yield locations[at].order, found[partitions[repeated] == at]


class BuildLookups(beam.DoFn):  # type: ignore[misc]
    """Makes what impressions are joined with: maps the name of a table, or of the installs, to (name, path).

    Of the rows of a table with the same key, the first one is kept.

    Args:
      task: The task.
      snapshots: The folder of each table that a snapshot is kept of.
    """

    def __init__(self, task: Task, snapshots: Mapping[str, str]):
        self._task, self._snapshots = task, snapshots

    def setup(self) -> None:
        self._layout = Layout(self._task.config)
        self._encoder = ExampleEncoder(self._task.config, self._task.span)

    def process(self, name: str, partitions: Iterable[Partition]) -> Iterator[Any]:
        mine = sorted(partition for partition in partitions if partition.source == name)
        columns = self._task.config.columns[name]
        tables = [scratch.read_table(partition.path) for partition in mine]
        rows = pa.concat_tables([empty_table(columns), *tables])
        if name == INSTALL_LOG:
            if self._task.config.sources.are_served:
                index, rows = index_events(self._task.config, rows)
                path = self._task.path("index", ())
                write_index(path, index)
                yield EVENT_INDEX, path
            else:
                rows = self._installs(rows)
            path = self._task.path("lookup-installs", ())
            scratch.write_table(path, rows)
            yield name, path
            return
        table = self._task.config.sources.tables[name]
        (position,) = self._layout.key_positions(name, [table.key])
        keys = rows[f"c{position}"].cast(pa.large_string()).combine_chunks()  # may exceed 2 GiB
        firsts = find_firsts(keys)
        is_first = firsts == np.arange(len(firsts))
        partition_of_row = np.repeat(np.arange(len(mine)), [len(table) for table in tables])
        numbers = np.asarray(rows["number"])
        repeated = np.flatnonzero(~is_first)

        def rejections() -> Iterator[Rejection]:
            others = rows.filter(pa.array(~is_first))
            for start in range(0, len(others), ROWS_AT_ONCE):
                pairs = [(at, firsts[at]) for at in repeated[start : start + ROWS_AT_ONCE].tolist()]
                yield from repeated_rows(
                    (name, "duplicate_key", table.key, unit_of(table.format)),
                    [
                        (
                            mine[partition_of_row[at]].file,
                            int(numbers[at]),
                            mine[partition_of_row[first]].file,
                            int(numbers[first]),
                        )
                        for at, first in pairs
                    ],
                    values_of(others.slice(start, ROWS_AT_ONCE), len(columns)),
                    position,
                )

        yield from self._task.rejected(f"keys-{name}", (), rejections())
        kept = rows.filter(pa.array(is_first))
        pieces = self._pieces(name, kept)
        path = self._task.path(f"table-{name}", ())
        names = ["key", *(f"piece{at}" for at in range(len(pieces)))]
        scratch.write_table(path, pa.table([keys.filter(pa.array(is_first)), *pieces], names=names))
        if name in self._snapshots:
            self._write_snapshot(name, kept)
        yield name, path

    def _slices(self, name: str, rows: pa.Table) -> Iterator[list[pa.Array]]:
        """Yields the columns of a table's rows, a slice at a time: an array of texts has room for 2 GiB only."""
        number = len(self._task.config.columns[name])
        for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
            yield to_columns(rows.slice(start, ROWS_AT_ONCE), number)

    def _pieces(self, name: str, rows: pa.Table) -> list[pa.ChunkedArray]:
        """Serializes a table's rows."""
        pieces = (self._encoder.table_pieces(name, some) for some in self._slices(name, rows))
        return [pa.chunked_array(list(chunks)) for chunks in zip(*pieces, strict=True)]

    def _write_snapshot(self, name: str, rows: pa.Table) -> None:
        examples = (self._encoder.table_examples(name, some) for some in self._slices(name, rows))
        write_records(FileSystems.join(self._snapshots[name], "data_tfrecord-00000-of-00001.gz"), examples)

    def _installs(self, rows: pa.Table) -> pa.Table:
        installs = self._task.config.sources.installs
        assert installs is not None
        positions = self._layout.key_positions(INSTALL_LOG, installs.keys)
        keys = join_keys([rows[f"c{at}"] for at in positions])
        times = rows[f"c{self._layout.timestamp_of(INSTALL_LOG, installs.timestamp)}"]
        return pa.table({"key": keys, "time": times})


class ShareLabels(beam.DoFn):  # type: ignore[misc]
    """Finds the training rows that can share their label, in a bucket: (bucket, places) to (part's order, rows).

    Args:
      seconds: The longest time between two impressions that can share a label.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds

    def process(self, element: tuple[int, Iterable[BatchLocation]]) -> Iterator[tuple[Order, npt.NDArray[Any]]]:
        locations = sorted(element[1])
        tables = [scratch.read(location) for location in locations]
        rows = pa.concat_tables(tables)
        is_eval = np.asarray(rows["eval"])
        keys, times = rows["key"].combine_chunks(), np.asarray(rows["time"])
        marks, positions = sharing(keys, times, is_eval, self._seconds), np.asarray(rows["row"])
        partitions = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        for at in np.unique(partitions[marks]).tolist():
            yield locations[at].order, positions[marks & (partitions == at)]
