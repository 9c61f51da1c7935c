"""Reads csv and tsv files: fast lines are split column by column, the others record by record.

A line is fast if it is a row by itself in any reading: it is UTF-8, not too long, has the header's number of fields,
and each quote in it opens or closes a whole field. `DelimitedRecords` reads each other line, and the lines that it runs
over, as it reads a whole file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from components.ingestion.formats.blocks import FastColumn, RawBlock, rows_of
from components.ingestion.formats.delimiters import Delimiter, Positions, delimiter_of
from components.ingestion.formats.files import as_text, check_columns, check_unique, open_file
from components.ingestion.formats.lines import Chunks, Lines, LineTally, too_long
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.split_lines import SplitLines
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError

#: The first two bytes of a gzip file, decoded as text: the second byte is not UTF-8, hence the surrogate.
GZIP_MAGIC = "\x1f\udc8b"

_IF_RETURNS = "`text.line_end: cr` reads files whose lines end in \\r alone"

_TOO_LARGE = "a field must have at most as many characters as a row may have bytes (ingestion.max_row_bytes)"


def start_of_rows(
    stream: BinaryIO, file_format: str, text: DelimitedText, limits: Ingestion, path: str
) -> tuple[Lines, list[str], int]:
    """Reads a csv or tsv file up to its first row.

    Returns:
      The lines of the rows, the names of the columns, and the number of lines read.
    """
    stream, num_skipped = as_text(stream, text)
    lines = Lines(stream, limits.max_row_bytes, limits.max_record_lines, num_skipped)
    if text.columns:
        return lines, list(text.columns), num_skipped
    return lines, read_names(lines, delimiter_of(file_format, text), path), num_skipped + 1


def read_names(lines: Lines, delimiter: Delimiter, path: str) -> list[str]:
    """Reads the column names from one line only, so that an unclosed quote in the header consumes no row."""
    line = next(lines, "")
    if line.startswith(GZIP_MAGIC):
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if "\0" in lines.first_line:  # for example UTF-16 or a binary file
        raise InputError(f"a text file must be UTF-8. Received: {lines.first_line[:40]!a} ({path})")
    if lines.too_long:
        hint = f"; {_IF_RETURNS}" if "\r" in lines.first_line else ""
        raise InputError(f"the header line must have at most {lines.max_bytes} bytes{hint} ({path})")
    try:
        header: list[str] = next(delimiter.records([line]))
    except csv.Error as error:
        raise InputError(f"the header line cannot be read: {_rule(error, delimiter)} ({path})") from error
    if not header:
        raise InputError(f"the file is empty; its first line must name the columns ({path})")
    check_unique(header, path)
    return header


def _rule(error: csv.Error, delimiter: Delimiter) -> str:
    """Returns the rule that a line breaks, as text for a user; the csv module's messages address programmers."""
    text = str(error)
    if text.startswith("new-line character seen"):
        return f"a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes; {_IF_RETURNS}"
    if text.startswith("field larger than field limit"):
        return _TOO_LARGE
    return "a quoted field must be closed" if text == "unexpected end of data" else delimiter.in_message(text)


class DelimitedRecords:
    """Reads the records of a csv or tsv file, one after the other; see `readers.read_blocks`.

    Args:
      lines: The file's lines after its header.
      delimiter: What parts the fields.
      header: The names of the file's columns.
      columns: The columns to read; the header has them.
    """

    def __init__(self, lines: Lines, delimiter: Delimiter, header: Sequence[str], columns: Sequence[str]):
        # The limit is the process's, and other code reads CSV in it too: it is raised only.
        csv.field_size_limit(max(lines.max_bytes, csv.field_size_limit()))
        self._lines, self._header = lines, header
        self._delimiter = delimiter
        self._records = delimiter.records(lines)
        self._requested = [(name, header.index(name)) for name in columns]

    def __iter__(self) -> Iterator[RawRow | None]:
        """Yields each row, and None for a blank line."""
        while True:
            self._lines.start_record()
            try:
                fields, problem = next(self._records), ""
            except StopIteration:
                return
            except csv.Error as error:
                fields, problem = [], _rule(error, self._delimiter)
            yield self._row(fields, problem)

    def _row(self, fields: list[str], problem: str) -> RawRow | None:
        lines = self._lines
        if lines.too_long and lines.num_lines == 1:
            return too_long(lines)
        if lines.too_long:
            problem = "a quoted field must not run into a line that is too long"
        elif not fields and not problem:
            return None
        problem = problem or _mistake(fields, self._header, lines, self._delimiter)
        if problem:
            lines.read_again_after_first()
            return RawRow(lines.number, None, "malformed", problem, lines.first_line)
        values = {name: fields[index] for name, index in self._requested}
        return RawRow(lines.number, values, num_lines=lines.num_lines)


def _mistake(fields: Sequence[str], header: Sequence[str], lines: Lines, delimiter: Delimiter) -> str:
    """Returns what is wrong with a record that the csv module has read; an empty string if nothing is."""
    if lines.num_lines > 1 and delimiter.is_blanks:
        return "a quoted field must be closed on its line where blanks part the fields"
    if len(fields) != len(header):
        return f"a row must have {len(header)} fields. Received: {len(fields)}{_fix(fields, header, delimiter)}"
    if lines.num_lines > 1 and max(map(len, fields)) > lines.max_bytes:
        return _TOO_LARGE
    texts = [text for text in lines.texts if text.strip("\r\n")] if lines.num_lines > 1 else []
    if texts and all(text.count(delimiter.text) + 1 == len(header) for text in texts):
        return (
            f"a quoted field must not run over lines that are rows by themselves. Received: {len(texts)} lines, each "
            f"of {len(header)} fields"
        )
    return ""


def _fix(fields: Sequence[str], header: Sequence[str], delimiter: Delimiter) -> str:
    """Returns what makes a line of too many fields a row; an empty string for too few, which no setting adds."""
    if len(fields) < len(header):
        return ""
    what = f"a field with {'blanks' if delimiter.is_blanks else repr(delimiter.text)} in it"
    quotes = f"{what} must stand in double quotes" + ("" if delimiter.may_quote else ", with `text.quoting: true`")
    return f"; {quotes}; if all rows have {len(fields)}, name the columns in `text.columns`"


def read_delimited_blocks(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally, text: DelimitedText
) -> Iterator[RawBlock]:
    """Reads a csv or tsv file; see `readers.read_blocks`."""
    with open_file(path) as stream:
        lines, header, num_lines = start_of_rows(stream, file_format, text, limits, path)
        check_columns(header, columns, path, is_delimited=True)
        tally.header += num_lines
        delimiter = delimiter_of(file_format, text)
        yield from _DelimitedBlocks(lines.stream, delimiter, header, columns, limits, tally, num_lines).blocks()


class _UnfinishedError(Exception):
    """A record runs over the end of a block of lines."""


class _DelimitedBlocks:
    def __init__(
        self,
        stream: BinaryIO,
        delimiter: Delimiter,
        header: Sequence[str],
        columns: Sequence[str],
        limits: Ingestion,
        tally: LineTally,
        num_before: int,
    ):
        self._chunks = Chunks(stream, limits.max_row_bytes)
        self._delimiter, self._header, self._columns = delimiter, header, columns
        self._limits, self._tally = limits, tally
        self._num_before = num_before

    def blocks(self) -> Iterator[RawBlock]:
        while not self._chunks.has_ended:
            data = self._chunks.next()
            split = SplitLines(data, self._delimiter, len(self._header), self._limits)
            if self._num_before == 0:
                split.needs_fallback[:1] = True  # a file's first line may have a byte order mark
            fallback_rows, end, error = self._read_fallback(split)
            yield self._block(split, fallback_rows, end)
            self._num_before += end
            if error is not None:
                raise error
            self._chunks.put_back(split.lines(end, split.num_lines))
        if self._chunks.error is not None:
            raise self._chunks.error

    def _read_fallback(self, split: SplitLines) -> tuple[list[RawRow], int, Exception | None]:
        """Reads the lines that are not fast.

        Returns:
          Their rows, the number of lines of the block that are read, and the stream's error if a record runs into it.
        """
        fallback_rows: list[RawRow] = []
        end = self._chunks.error if self._chunks.has_ended else _UnfinishedError()
        stream, next_line = split.stream(end), 0
        for line in np.flatnonzero(split.needs_fallback).tolist():
            if line < next_line:
                continue
            stream.seek(split.start(line))
            lines = Lines(stream, self._limits.max_row_bytes, self._limits.max_record_lines, self._num_before + line)
            try:
                row = next(iter(DelimitedRecords(lines, self._delimiter, self._header, self._columns)), None)
            except Exception as error:
                if error is not end:
                    raise
                return fallback_rows, line, self._chunks.error if self._chunks.has_ended else None
            next_line = line + lines.num_lines
            split.needs_fallback[line:next_line] = True
            if row is None:
                self._tally.blank += 1
            else:
                fallback_rows.append(row)
        return fallback_rows, split.num_lines, None

    def _block(self, split: SplitLines, fallback_rows: list[RawRow], end: int) -> RawBlock:
        is_fast = ~split.needs_fallback & ~split.is_blank
        is_fast[end:] = False
        self._tally.blank += int(np.count_nonzero(split.is_blank[:end] & ~split.needs_fallback[:end]))
        fields = split.fields(is_fast, [self._header.index(name) for name in self._columns])
        texts = dict(zip(self._columns, fields, strict=True))
        no_fallback = np.zeros(int(np.count_nonzero(is_fast)), bool)

        def raw(column: Column) -> FastColumn:
            return FastColumn(texts[column.name], no_fallback)

        def rows(positions: Positions) -> list[Mapping[str, Any]]:
            some = pa.array(positions)
            return rows_of({name: text.take(some).to_pylist() for name, text in texts.items()})

        return RawBlock(np.flatnonzero(is_fast) + self._num_before + 1, raw, rows, fallback_rows)
