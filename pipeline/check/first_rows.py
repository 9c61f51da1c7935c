"""Reads the first rows of a source, for checks before a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.formats.lines import LineTally
from components.ingestion.served.candidates import Candidates
from components.ingestion.served.events import index_events, read_events
from components.ingestion.spans import SpanFiles
from components.ingestion.typed_reader import ShownRows, TypedBlock, TypedReader
from transform.config.columns import Column, ColumnKind
from transform.config.config import Config
from transform.feature import IMPRESSIONS


class FirstRows:
    """The first rows of a source's files of a span; of served rankings those that were shown.

    Args:
      config: The config.
      found: The span's files.
      source: The source.
      columns: Which of its columns to read.
      max_rows: Maximum number of rows to read; None reads all.

    Attributes:
      columns: These columns.
      texts: What the rules for texts changed in the rows read so far.
      num_rows: Number of rows read so far.
      path: The file of the block that was yielded last.
      is_whole: Whether there was no further row.
    """

    def __init__(
        self, config: Config, found: SpanFiles, source: str, columns: Sequence[Column], max_rows: int | None = None
    ):
        self._reader = TypedReader(source, config.sources.of(source), columns, config.ingestion)
        self._shown: ShownRows | None = None
        if source == IMPRESSIONS and config.sources.are_served and (rule := config.sources.installs) is not None:
            events = read_events(config, found.files["installs"][""])
            self._shown = Candidates(index_events(config, events)[0], rule)
        self._paths = [path for paths in found.files[source].values() for path in paths]
        self._max_rows = max_rows
        self.columns = columns
        self.texts = TextCounts()
        self.num_rows = 0
        self.path = ""
        self.is_whole = True

    def blocks(self) -> Iterator[TypedBlock]:
        """Yields the rows; raises errors as `read_blocks`."""
        for path in self._paths:
            self.path = path
            for block in self._reader.raw_blocks(path, LineTally(), self._shown):
                left = block.num_rows if self._max_rows is None else self._max_rows - self.num_rows
                self.is_whole = block.num_rows <= left
                self.num_rows += min(left, block.num_rows)
                yield self._reader.typed(block.first(left), path, self.texts)
                if not self.is_whole:
                    return


class ReadRows:
    """The first rows of a source's files of a span, read once for all checks of them. Its memory grows with the rows.

    Args:
      config: The config.
      found: The span's files.
      source: The source.
      max_rows: Maximum number of rows to read.

    Attributes:
      reading: How they were read.
      blocks: The rows, each block with its file.

    Raises:
      InputError: If a file is missing or damaged.
    """

    def __init__(self, config: Config, found: SpanFiles, source: str, max_rows: int):
        self.reading = reading = FirstRows(config, found, source, config.columns[source], max_rows)
        self.blocks: list[tuple[str, TypedBlock]] = [(reading.path, block) for block in reading.blocks()]

    def values(self) -> dict[tuple[str, ColumnKind], pa.Array]:
        """Returns the values of the rows that were not rejected, by each column's name and kind."""
        return {
            (column.name, column.kind): pa.concat_arrays([block.values[at] for _, block in self.blocks])
            for at, column in enumerate(self.reading.columns)
        }


def value_counts(values: pa.Array) -> dict[Any, int]:
    """Returns how often each value occurs, in the order of their first occurrence, without the missing ones."""
    counts = values.drop_null().value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
