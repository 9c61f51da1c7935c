"""Reads text files in blocks of rows: fast lines are split column by column, the others record by record.

A line is fast if it is a row by itself in any reading: it is UTF-8, not too long, has the header's number of fields,
and each quote in it opens or closes a whole field. `text_records` reads each other line, and the lines that it runs
over, as it reads a whole file.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.formats.blocks import FastColumn, Mask, RawBlock, json_column, rows_of
from components.ingestion.formats.files import check_columns, open_file
from components.ingestion.formats.nested import flat, values_of
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import LineTally
from components.ingestion.formats.text_records import (
    BYTE_ORDER_MARK,
    DelimitedRecords,
    Lines,
    dialect,
    json_records,
    start_of_rows,
)
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText

#: Bytes of a file that are split at once.
BLOCK_BYTES = 4 << 20

#: The most bytes that are read at once: as many as the buffer of a file has.
_READ_BYTES = 1 << 20

_NEWLINE, _RETURN, _QUOTE = ord("\n"), ord("\r"), ord('"')

_Positions = npt.NDArray[Any]


class _Chunks:
    """Reads a stream in pieces that end at the end of a line.

    Of a line that is too long, only the beginning is kept, which is still too long. An error of the stream is raised
    when the lines before it have been taken.
    """

    def __init__(self, stream: BinaryIO, max_line_bytes: int):
        self._stream = stream
        self._max_kept = max_line_bytes + 1 + len(BYTE_ORDER_MARK)
        self._rest, self._num_put_back = b"", 0
        self._is_skipping = self._is_read = False
        self.error: Exception | None = None
        self.has_ended = False

    def next(self) -> bytes:
        """Returns the next lines, twice as many bytes as were put back; the last line may end without a newline.

        So a long record costs at most twice its bytes, however many blocks it runs over.
        """
        least = max(BLOCK_BYTES, 2 * self._num_put_back)
        while (at := self._rest.find(b"\n", least - 1)) < 0 and not self._is_read:
            self._read()
        if at >= 0:
            end = at + 1
        else:
            end = len(self._rest) if self.error is None else self._rest.rfind(b"\n") + 1
            self.has_ended = True
        lines, self._rest, self._num_put_back = self._rest[:end], self._rest[end:], 0
        return lines

    def put_back(self, lines: bytes) -> None:
        """Puts lines back that `next` has returned last."""
        self._rest, self._num_put_back = lines + self._rest, len(lines)

    def _read(self) -> None:
        try:
            # Not `read`, which loses what it has decompressed if it then finds that the file is cut off.
            piece = self._stream.read1(_READ_BYTES)  # type: ignore[attr-defined]
        except Exception as error:  # raised again by the caller, after the lines before it
            piece, self.error = b"", error
        self._is_read = not piece
        if self._is_skipping:
            end = piece.find(b"\n")
            self._is_skipping = end < 0
            piece = piece[end:] if end >= 0 else b""
        self._rest += piece
        start = self._rest.rfind(b"\n") + 1
        if len(self._rest) - start > self._max_kept:
            self._rest, self._is_skipping = self._rest[: start + self._max_kept], True


class _UnfinishedError(Exception):
    """A record runs over the end of a block of lines."""


class _Block(io.BytesIO):
    """A block's lines as a stream, with what it raises at their end, if anything."""

    def __init__(self, lines: bytes, error: Exception | None):
        super().__init__(lines)
        self._error = error

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        if not line and self._error is not None:
            raise self._error
        return line


def read_delimited_blocks(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally, text: DelimitedText
) -> Iterator[RawBlock]:
    """Reads a csv or tsv file; the rows, the numbers and the errors are those of `readers.read_rows`."""
    with open_file(path) as stream:
        lines, header, num_lines = start_of_rows(stream, file_format, text, limits, path)
        check_columns(header, columns, path, is_delimited=True)
        tally.header += num_lines
        settings = dialect(file_format, text)
        yield from _DelimitedBlocks(lines.stream, settings, header, columns, limits, tally, num_lines).blocks()


class _DelimitedBlocks:
    def __init__(
        self,
        stream: BinaryIO,
        settings: Mapping[str, Any],
        header: Sequence[str],
        columns: Sequence[str],
        limits: Ingestion,
        tally: LineTally,
        num_before: int,
    ):
        self._chunks = _Chunks(stream, limits.max_row_bytes)
        self._settings, self._header, self._columns = settings, header, columns
        self._delimiter = ord(settings["delimiter"])
        self._may_quote = settings.get("quoting") != csv.QUOTE_NONE
        self._limits, self._tally = limits, tally
        self._num_before = num_before

    def blocks(self) -> Iterator[RawBlock]:
        while not self._chunks.has_ended:
            data = self._chunks.next()
            split = _Split(data, self._delimiter, len(self._header), self._limits, self._may_quote)
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

    def _read_fallback(self, split: _Split) -> tuple[list[RawRow], int, Exception | None]:
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
                row = next(iter(DelimitedRecords(lines, self._settings, self._header, self._columns)), None)
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

    def _block(self, split: _Split, fallback_rows: list[RawRow], end: int) -> RawBlock:
        is_fast = ~split.needs_fallback & ~split.is_blank
        is_fast[end:] = False
        self._tally.blank += int(np.count_nonzero(split.is_blank[:end] & ~split.needs_fallback[:end]))
        fields = split.fields(is_fast, [self._header.index(name) for name in self._columns])
        texts = dict(zip(self._columns, fields, strict=True))
        no_fallback = np.zeros(int(np.count_nonzero(is_fast)), bool)

        def raw(column: Column) -> FastColumn:
            return FastColumn(texts[column.name], no_fallback)

        def rows(positions: _Positions) -> list[Mapping[str, Any]]:
            some = pa.array(positions)
            return rows_of({name: text.take(some).to_pylist() for name, text in texts.items()})

        return RawBlock(np.flatnonzero(is_fast) + self._num_before + 1, raw, rows, fallback_rows)


class _Split:
    """A block of lines, and where its fields are.

    Attributes:
      num_lines: Number of lines.
      is_blank: The lines without a field.
      needs_fallback: The lines, neither fast nor blank, that `text_records` must read.
    """

    def __init__(self, data: bytes, delimiter: int, num_fields: int, limits: Ingestion, may_quote: bool):
        self._data, self._num_fields = data, num_fields
        self._bytes = np.frombuffer(data, np.uint8)
        newlines = np.flatnonzero(self._bytes == _NEWLINE)
        is_cut = len(data) > 0 and self._bytes[-1] != _NEWLINE
        self._after = np.append(newlines + 1, len(data)) if is_cut else newlines + 1
        self._starts = np.concatenate([[0], self._after[:-1]]).astype(np.int64)[: len(self._after)]
        self._ends = np.append(newlines, len(data)) if is_cut else newlines.copy()
        self.num_lines = len(self._ends)
        self.needs_fallback = self._after - self._starts > limits.max_row_bytes
        self._take_returns(newlines)
        self.is_blank = (self._starts == self._ends) & ~self.needs_fallback
        self._mark_undecodable()
        self._delimiters = np.flatnonzero(self._bytes == delimiter)
        self._has_quotes = may_quote and b'"' in data
        if self._has_quotes:
            self._take_quotes(delimiter)
        self._numbers = np.diff(np.searchsorted(self._delimiters, np.append(self._starts, len(data))))
        self.needs_fallback |= (self._numbers != num_fields - 1) & ~self.is_blank

    def lines(self, start: int, end: int) -> bytes:
        """Returns lines as they are in the file."""
        if start >= min(end, self.num_lines):
            return b""
        return self._data[self._starts[start] : self._after[min(end, self.num_lines) - 1]]

    def start(self, line: int) -> int:
        """Returns where a line starts."""
        return int(self._starts[line])

    def stream(self, error: Exception | None) -> _Block:
        """Returns the lines as a stream that raises `error` at their end."""
        return _Block(self._data, error)

    def _take_returns(self, newlines: _Positions) -> None:
        """Takes a carriage return before a newline as part of the line's end; any other one needs the fallback."""
        returns = np.flatnonzero(self._bytes == _RETURN)
        if not len(returns):
            return
        padded = np.append(self._bytes, 0)
        ends_line = padded[returns + 1] == _NEWLINE
        self._ends[np.searchsorted(newlines, returns[ends_line])] -= 1
        self.needs_fallback[self._line_of(returns[~ends_line])] = True

    def _line_of(self, positions: _Positions) -> _Positions:
        return np.searchsorted(self._after, positions, side="right")

    def _mark_undecodable(self) -> None:
        if self._data.isascii():
            return
        try:
            self._data.decode()
        except UnicodeDecodeError:
            for line in np.unique(self._line_of(np.flatnonzero(self._bytes >= 0x80))).tolist():
                try:
                    self.lines(line, line + 1).decode()
                except UnicodeDecodeError:
                    self.needs_fallback[line] = True

    def _take_quotes(self, delimiter: int) -> None:
        """Ignores delimiters between quotes; quotes that do not enclose whole fields need the fallback."""
        quotes = np.flatnonzero(self._bytes == _QUOTE)
        lines = self._line_of(quotes)
        num_before = np.searchsorted(quotes, self._starts)  # the number of quotes before each line
        opens = (np.arange(len(quotes)) - num_before[lines]) % 2 == 0
        padded = np.concatenate([[delimiter], self._bytes, [delimiter]])
        begins = (quotes == self._starts[lines]) | (padded[quotes] == delimiter)
        ends = (quotes + 1 == self._ends[lines]) | (padded[quotes + 2] == delimiter)
        self.needs_fallback[lines[~np.where(opens, begins, ends)]] = True
        self.needs_fallback |= np.diff(np.append(num_before, len(quotes))) % 2 == 1
        of_delimiters = self._line_of(self._delimiters)
        inside = (np.searchsorted(quotes, self._delimiters) - num_before[of_delimiters]) % 2 == 1
        self._delimiters = self._delimiters[~inside]

    def fields(self, is_fast: Mask, positions: Sequence[int]) -> list[pa.Array]:
        """Returns the texts at some positions in the fast lines."""
        starts, ends = self._starts[is_fast], self._ends[is_fast]
        between = self._delimiters[np.repeat(is_fast, self._numbers)].reshape(len(starts), self._num_fields - 1)
        bounds = np.concatenate([starts[:, np.newaxis] - 1, between, ends[:, np.newaxis]], axis=1)
        return [self._texts(bounds[:, at] + 1, bounds[:, at + 1]) for at in positions]

    def _texts(self, starts: _Positions, ends: _Positions) -> pa.Array:
        if self._has_quotes and len(starts):
            quoted = (starts < ends) & (self._bytes[np.minimum(starts, len(self._data) - 1)] == _QUOTE)
            starts, ends = starts + quoted, ends - quoted
        # Every second element of an array over the whole block is a field.
        offsets = np.stack([starts, ends], axis=1).astype(np.int32)
        if not len(offsets):
            return pa.array([], pa.string())
        size = 2 * len(starts) - 1
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data)]
        return pa.Array.from_buffers(pa.string(), size, buffers)[::2]


def read_jsonl_blocks(path: str, columns: Sequence[str], limits: Ingestion, tally: LineTally) -> Iterator[RawBlock]:
    """Reads a jsonl file; the rows, the numbers and the errors are those of `readers.read_rows`."""
    with open_file(path) as stream:
        chunks, num_before = _Chunks(stream, limits.max_row_bytes), 0
        while not chunks.has_ended:
            data = chunks.next()
            block, num_lines = _json_block(data, num_before, columns, limits, tally)
            yield block
            num_before += num_lines
        if chunks.error is not None:
            raise chunks.error


def _json_block(
    data: bytes, num_before: int, columns: Sequence[str], limits: Ingestion, tally: LineTally
) -> tuple[RawBlock, int]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    fallback_rows: list[RawRow] = []
    for number, line in enumerate(lines, num_before + 1):
        row = _fast_object(line, limits.max_row_bytes) if number > 1 else None
        if row is not None:
            numbers.append(number)
            rows.append(row)
            continue
        end = b"\n" if number < num_before + len(lines) or data.endswith(b"\n") else b""
        (other,) = itertools.islice(
            json_records(Lines(io.BytesIO(line + end), limits.max_row_bytes, num_before=number - 1), columns), 1
        )
        if other is None:
            tally.blank += 1
        else:
            fallback_rows.append(other)

    def raw(column: Column) -> FastColumn:
        return json_column(values_of(rows, column.name))

    def some_rows(positions: _Positions) -> list[Mapping[str, Any]]:
        return [flat(rows[at], columns) for at in positions]

    return RawBlock(np.array(numbers, np.int64), raw, some_rows, fallback_rows), len(lines)


def _fast_object(line: bytes, max_bytes: int) -> dict[str, Any] | None:
    """Returns a line's JSON object, or None if there is anything unusual about the line."""
    if len(line) >= max_bytes:
        return None
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
