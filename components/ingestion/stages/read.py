"""The first stage of ingestion: reads files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam import pvalue

from components.ingestion.columns.parser import typed_table
from components.ingestion.counts import LineCounts
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.readers import TEXT_FORMATS, read_contents
from components.ingestion.layout import Layout
from components.ingestion.served.candidates import Candidates
from components.ingestion.served.events import credible_times, install_mask
from components.ingestion.sketches import FileSketch
from components.ingestion.stages import scratch
from components.ingestion.stages.event_files import read_index, write_outcomes
from components.ingestion.stages.span_end import count_minutes
from components.ingestion.stages.task import (
    EVENT_INDEX,
    EVIDENCE,
    INSTALL_LOG,
    LOCATIONS,
    OUTCOMES,
    TIMES,
    Partition,
    Task,
    counted,
)
from components.ingestion.typed_reader import TypedBlock, TypedReader
from transform.config.component_settings import IngestionSettings
from transform.errors import InputError
from transform.feature import IMPRESSIONS

#: A part, which is held in memory, ends with the block with which it has so many rows or bytes of values.
PART_ROWS, PART_BYTES = 1 << 17, 256 << 20


class ReadFiles(beam.DoFn):  # type: ignore[misc]
    """Reads files: maps (source, split, the file's rank, path) to parts; the ids of impressions go to buckets.

    Of served rankings, those candidates are impressions that the index of events, a lookup, says were shown.
    """

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)

    def process(self, element: tuple[str, str, int, str], lookups: Mapping[str, str] | None = None) -> Iterator[Any]:
        name, split, rank, path = element
        config = self._task.config
        source = config.sources.of(name)
        sketch, tally = FileSketch(config, name), LineTally()
        reader = TypedReader(name, source, config.columns[name], config.ingestion)
        candidates = None
        if lookups is not None and config.sources.installs is not None:
            candidates = Candidates(read_index(lookups[EVENT_INDEX]), config.sources.installs)
        waiting: list[TypedBlock] = []
        num_parts = num_blocks = num_rows = num_lines = num_multi_line = 0
        try:
            for block in reader.read(path, tally, candidates):
                num_rows += block.num_rows
                num_lines += block.num_lines
                num_multi_line += block.num_multi_line
                sketch.add(block.values if name == IMPRESSIONS else _sketched(config, name, block.values))
                yield from self._task.rejected(f"read-{name}", (rank, num_blocks), block.rejections)
                num_blocks += 1
                waiting.append(block)
                if _is_full(waiting):
                    yield from self._part(Partition(name, (rank, num_parts), split, path, ""), waiting)
                    num_parts, waiting = num_parts + 1, []
            contents = read_contents(path, source.format, source.text)
            yield pvalue.TaggedOutput(EVIDENCE, sketch.summary(path, contents.sha256))
            if source.format in TEXT_FORMATS:
                counts = LineCounts(contents.num_lines, tally.header, tally.blank, num_lines, num_multi_line)
                counts.check(path)
                for key, count in counts.pairs(name):
                    yield counted(key, count)
        except InputError as error:
            # The row gate reports it after ingestion; an exception raised inside Beam would lose its message.
            yield counted(("unusable", str(error)), 1)
        if waiting:
            yield from self._part(Partition(name, (rank, num_parts), split, path, ""), waiting)
        yield counted(("read", name), num_rows)
        if candidates is not None:
            yield counted(("not_shown",), candidates.num_not_shown)
            yield counted(("moved",), candidates.num_moved)
            outcomes = self._task.path("outcomes", (rank,))
            write_outcomes(outcomes, candidates)
            yield pvalue.TaggedOutput(OUTCOMES, outcomes)

    def _part(self, partition: Partition, blocks: Sequence[TypedBlock]) -> Iterator[Any]:
        columns = self._task.config.columns[partition.source]
        values = [pa.concat_arrays(arrays) for arrays in zip(*(block.values for block in blocks), strict=True)]
        numbers = np.concatenate([block.numbers for block in blocks])
        rows = typed_table(columns, values, numbers)
        path = self._task.path(f"rows-{partition.source}", partition.order)
        scratch.write_table(path, rows)
        yield partition._replace(path=path)
        installs = self._task.config.sources.installs
        if partition.source == INSTALL_LOG and installs is not None:
            if self._task.config.sources.are_served:
                times = credible_times(self._task.config, rows)
            else:
                times = np.asarray(rows[f"c{self._layout.timestamp_of(INSTALL_LOG, installs.timestamp)}"])
            yield pvalue.TaggedOutput(TIMES, count_minutes(times))
        if partition.source == IMPRESSIONS and self._layout.impression_id is not None:
            yield from self._ids_to_buckets(partition, rows[f"c{self._layout.impression_id}"], rows["number"])

    def _ids_to_buckets(self, partition: Partition, ids: pa.ChunkedArray, numbers: pa.ChunkedArray) -> Iterator[Any]:
        rows = pa.table({"key": ids, "number": numbers, "row": np.arange(len(ids))})
        num_buckets = self._task.num_key_buckets
        buckets = scratch.buckets_of_texts(ids.combine_chunks(), num_buckets)
        for location in scratch.write_buckets(
            self._task.path("ids", partition.order), rows, buckets, num_buckets, partition.order
        ):
            yield pvalue.TaggedOutput(LOCATIONS, location)


def _sketched(config: IngestionSettings, name: str, values: list[pa.Array]) -> list[pa.Array]:
    """Returns the rows that are evidence of a source: of events the installs, as any log of installs has them."""
    if not config.sources.are_served or name != INSTALL_LOG:
        return values
    mask = pa.array(install_mask(config, values))
    return [array.filter(mask) for array in values]


def _is_full(blocks: Sequence[TypedBlock]) -> bool:
    num_rows = sum(len(block.numbers) for block in blocks)
    num_bytes = sum(array.nbytes for block in blocks for array in block.values)
    return num_rows >= PART_ROWS or num_bytes >= PART_BYTES
