"""Reads one file of any supported format in blocks of typed rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.columns.parser import Parser
from components.ingestion.columns.rejections import Rejection, RowError, kept_text
from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.formats.blocks import RawBlock
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import LineTally, Progress, reported_as_user_error, unit_of
from components.ingestion.formats.record_blocks import read_parquet_blocks, read_tfrecord_blocks
from components.ingestion.formats.text_blocks import read_delimited_blocks, read_jsonl_blocks
from transform.config.columns import Column
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


class TypedReader:
    """Reads the files of one source.

    Args:
      name: The source's name.
      source: The source.
      columns: Its columns.
      limits: The limits of rows and values.
    """

    def __init__(self, name: str, source: Source | Impressions, columns: Sequence[Column], limits: Ingestion):
        self._name, self._format, self._text, self._limits = name, source.format, source.text, limits
        self._columns = columns
        self._names = list(dict.fromkeys(name for c in columns for name in c.names))
        self._parser = Parser(columns, source.null_values, source.list_separator, limits)

    def read(self, path: str, tally: LineTally) -> Iterator[TypedBlock]:
        """Yields the file's rows; `tally` counts the lines that are part of none; raises errors as `read_rows`."""
        for block in self.raw_blocks(path, tally):
            yield self.typed(block, path)

    def raw_blocks(self, path: str, tally: LineTally) -> Iterator[RawBlock]:
        """Yields the file's rows before they are parsed; as `read`."""
        progress = Progress(unit_of(self._format))
        with reported_as_user_error(path, progress):
            for block in self._blocks(path, tally):
                yield block
                progress.number = max(progress.number, block.last_number)

    def _blocks(self, path: str, tally: LineTally) -> Iterator[RawBlock]:
        match self._format:
            case "csv" | "tsv":
                return read_delimited_blocks(path, self._format, self._names, self._limits, tally, self._text)
            case "jsonl":
                return read_jsonl_blocks(path, self._names, self._limits, tally)
            case "parquet":
                return read_parquet_blocks(path, self._names)
            case "tfrecord":
                return read_tfrecord_blocks(path, self._names, self._limits.max_row_bytes)
        raise ValueError(f"unknown format: {self._format}")

    def typed(self, block: RawBlock, path: str, texts: TextCounts | None = None) -> TypedBlock:
        """Parses the rows of a file; counts in `texts` what the rules for texts change."""
        values, fallback = self._parser.parse_block(block.raw)
        if texts is not None:
            texts.add_columns(self._columns, block.raw, values, fallback)
        positions = np.flatnonzero(fallback)
        fallback_values = zip(block.numbers[positions].tolist(), block.rows(positions), strict=True)
        fallback_rows = sorted(
            [*itertools.starmap(RawRow, fallback_values), *block.fallback_rows], key=lambda row: row.number
        )
        parsed_rows: list[tuple[int, tuple[Any, ...]]] = []
        rejections: list[Rejection] = []
        for raw in fallback_rows:
            parsed = self._parsed(raw, path)
            if isinstance(parsed, Rejection):
                rejections.append(parsed)
            else:
                parsed_rows.append((raw.number, parsed))
                if texts is not None and raw.values is not None:
                    texts.add_row(self._columns, raw.values, parsed)
        numbers = block.numbers
        if fallback.any():
            values, numbers = [array.filter(pa.array(~fallback)) for array in values], numbers[~fallback]
        if parsed_rows:
            values, numbers = _merged(values, numbers, parsed_rows)
        return TypedBlock(
            values,
            numbers,
            rejections,
            num_rows=block.num_rows,
            num_lines=len(block.numbers) + sum(row.num_lines for row in block.fallback_rows),
            num_multi_line=sum(row.num_lines > 1 for row in block.fallback_rows),
        )

    def _parsed(self, raw: RawRow, path: str) -> tuple[Any, ...] | Rejection:
        reason, detail = raw.reason, raw.detail
        if raw.values is not None:
            try:
                return self._parser.parse_row(raw.values)
            except RowError as error:
                reason, detail = error.reason, error.detail
        text = raw.text if raw.values is None else repr(dict(raw.values))
        return Rejection(self._name, path, raw.number, reason, kept_text(detail), kept_text(text))


def _merged(
    values: Sequence[pa.Array], numbers: npt.NDArray[np.int64], rows: Sequence[tuple[int, tuple[Any, ...]]]
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Returns columns, and the numbers of their rows, with more rows, each with its number; sorted by number."""
    all_numbers = np.concatenate([numbers, np.array([number for number, _ in rows], np.int64)])
    order = np.argsort(all_numbers)
    more = zip(*(row for _, row in rows), strict=True)
    merged = [
        pa.concat_arrays([array, pa.array(list(column), array.type)]).take(pa.array(order))
        for array, column in zip(values, more, strict=True)
    ]
    return merged, all_numbers[order]
