"""Reads one file of any supported format in blocks of typed rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import pyarrow as pa

from components.ingestion.columns.parser import Parser
from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.formats.blocks import RawBlock
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import RawRow, Rejection, RowError, kept_text
from components.ingestion.formats.readers import read_blocks, reported_as_user_error
from components.ingestion.formats.serving_log import LoggedRows, read_logged_rows
from transform.config.columns import Column
from transform.config.serving_log import RANK
from transform.config.settings import Ingestion
from transform.config.sources import Impressions, Source


class TypedBlock(NamedTuple):
    """Rows of a file.

    Attributes:
      values: The rows that were not rejected: columns in the order of the source's, of the types in `KINDS`.
      numbers: Their numbers in the file, as in `RawRow`, ascending.
      rejections: The other rows, ascending.
      num_rows: Number of rows read.
      num_lines: Number of lines of these rows.
      num_multi_line: Number of rows of more than one line.
    """

    values: list[pa.Array]
    numbers: npt.NDArray[Any]
    rejections: list[Rejection]
    num_rows: int
    num_lines: int
    num_multi_line: int


class ShownRows(Protocol):
    """Says which candidates of served rankings were shown."""

    def shown(self, rows: LoggedRows) -> LoggedRows:
        """Returns those that were shown, with their positions."""


class TypedReader:
    """Reads the files of one source.

    Args:
      name: The source's name.
      source: The source.
      columns: Its columns.
      limits: The limits of rows and values.
    """

    def __init__(self, name: str, source: Source | Impressions, columns: Sequence[Column], limits: Ingestion):
        self._name, self._source, self._limits = name, source, limits
        self._names = list(dict.fromkeys(name for c in columns for name in c.names))
        self._parser = Parser(columns, source.null_values, source.list_separator, limits)

    def read(self, path: str, tally: LineTally, shown: ShownRows | None = None) -> Iterator[TypedBlock]:
        """Yields the file's rows; raises errors as `read_blocks`.

        Args:
          path: The file.
          tally: Counts the lines that are part of no row.
          shown: Of a log of served rankings, says which rows were shown: the others are not read further.
        """
        for block in self.raw_blocks(path, tally, shown):
            yield self.typed(block, path)

    def raw_blocks(self, path: str, tally: LineTally, shown: ShownRows | None = None) -> Iterator[RawBlock]:
        """Yields the file's rows before they are parsed; as `read`."""
        source = self._source
        if shown is not None:
            return self._shown_blocks(path, shown)
        return read_blocks(path, source.format, self._names, self._limits, tally, source.text)

    def _shown_blocks(self, path: str, shown: ShownRows) -> Iterator[RawBlock]:
        with reported_as_user_error(path, self._source.format):
            for rows in read_logged_rows(path, [*self._names, RANK]):
                yield shown.shown(rows).block(self._names)

    def typed(self, block: RawBlock, path: str, texts: TextCounts | None = None) -> TypedBlock:
        """Parses the rows of a file; counts in `texts` what the rules for texts change."""
        values, numbers, errors = self._parser.parse(block, texts)
        return TypedBlock(
            values,
            numbers,
            [self._rejection(path, raw, error) for raw, error in errors],
            num_rows=block.num_rows,
            num_lines=len(block.numbers) + sum(row.num_lines for row in block.fallback_rows),
            num_multi_line=sum(row.num_lines > 1 for row in block.fallback_rows),
        )

    def _rejection(self, path: str, raw: RawRow, error: RowError) -> Rejection:
        text = raw.text if raw.values is None else repr(dict(raw.values))
        return Rejection(self._name, path, raw.number, error.reason, kept_text(error.detail), kept_text(text))
