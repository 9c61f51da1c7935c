"""Reads the first rows of a source, for checks before a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.formats.lines import LineTally
from components.ingestion.spans import SpanFiles
from components.ingestion.typed_reader import TypedBlock, TypedReader
from transform.config.columns import Column
from transform.config.config import Config


class FirstRows:
    """The first rows of a source's files of a span.

    Args:
      config: The config.
      found: The span's files.
      source: The source.
      columns: Which of its columns to read.
      max_rows: Maximum number of rows to read; None reads all.

    Attributes:
      num_rows: Number of rows read so far.
      path: The file of the block that was yielded last.
      is_whole: Whether there was no further row.
    """

    def __init__(
        self, config: Config, found: SpanFiles, source: str, columns: Sequence[Column], max_rows: int | None = None
    ):
        self._reader = TypedReader(source, config.sources.of(source), columns, config.ingestion)
        self._paths = [path for paths in found.files[source].values() for path in paths]
        self._max_rows = max_rows
        self.num_rows = 0
        self.path = ""
        self.is_whole = True

    def blocks(self, texts: TextCounts | None = None) -> Iterator[TypedBlock]:
        """Yields the rows; counts in `texts` what the rules for texts change; raises errors as `read_blocks`."""
        for path in self._paths:
            self.path = path
            for block in self._reader.raw_blocks(path, LineTally()):
                left = block.num_rows if self._max_rows is None else self._max_rows - self.num_rows
                self.is_whole = block.num_rows <= left
                self.num_rows += min(left, block.num_rows)
                yield self._reader.typed(block.first(left), path, texts)
                if not self.is_whole:
                    return


def value_counts(values: pa.Array) -> dict[Any, int]:
    """Returns how often each value occurs, in the order of their first occurrence, without the missing ones."""
    counts = values.drop_null().value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
