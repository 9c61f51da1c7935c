"""Splits a block of lines of a csv or tsv file into fields."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.ingestion.formats.blocks import Mask
from components.ingestion.formats.delimiters import Delimiter, Positions
from transform.config.settings import Ingestion

_NEWLINE, _RETURN, _QUOTE = ord("\n"), ord("\r"), ord('"')


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


class SplitLines:
    """A block of lines, and where its fields are.

    Attributes:
      num_lines: Number of lines.
      is_blank: The lines without a field.
      needs_fallback: The lines, neither fast nor blank, that `text_records` must read.
    """

    def __init__(self, data: bytes, delimiter: Delimiter, num_fields: int, limits: Ingestion):
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
        self._take_delimiters(delimiter)
        self.is_blank = (self._firsts >= self._ends) & ~self.needs_fallback
        self._mark_undecodable()
        self._has_quotes = delimiter.may_quote and b'"' in data
        if self._has_quotes:
            self._take_quotes()
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

    def _take_returns(self, newlines: Positions) -> None:
        """Takes a carriage return before a newline as part of the line's end; any other one needs the fallback."""
        returns = np.flatnonzero(self._bytes == _RETURN)
        if not len(returns):
            return
        padded = np.append(self._bytes, 0)
        ends_line = padded[returns + 1] == _NEWLINE
        self._ends[np.searchsorted(newlines, returns[ends_line])] -= 1
        self.needs_fallback[self._line_of(returns[~ends_line])] = True

    def _line_of(self, positions: Positions) -> Positions:
        return np.searchsorted(self._after, positions, side="right")

    def _take_delimiters(self, delimiter: Delimiter) -> None:
        """Finds the delimiters, and where each line's first field starts; of a run of blanks see `Delimiter`."""
        self._delimiters, self._nexts, unclear = delimiter.places(self._bytes)
        self.needs_fallback[self._line_of(unclear)] = True
        self._firsts = self._starts
        if not delimiter.is_blanks:
            return
        lines = self._line_of(self._delimiters)
        at_start, at_end = self._delimiters == self._starts[lines], self._nexts == self._ends[lines]
        self._firsts = self._starts.copy()
        self._firsts[lines[at_start]] = self._nexts[at_start]
        self._ends[lines[at_end]] = self._delimiters[at_end]
        self._keep(~(at_start | at_end))

    def _keep(self, delimiters: Mask) -> None:
        self._delimiters, self._nexts = self._delimiters[delimiters], self._nexts[delimiters]

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

    def _take_quotes(self) -> None:
        """Ignores delimiters between quotes; quotes that do not enclose whole fields need the fallback."""
        quotes = np.flatnonzero(self._bytes == _QUOTE)
        lines = self._line_of(quotes)
        num_before = np.searchsorted(quotes, self._starts)  # the number of quotes before each line
        opens = (np.arange(len(quotes)) - num_before[lines]) % 2 == 0
        begins_field, ends_field = (np.zeros(len(self._bytes) + 1, bool) for _ in range(2))
        begins_field[self._firsts] = begins_field[self._nexts] = True
        ends_field[self._ends] = ends_field[self._delimiters] = True
        self.needs_fallback[lines[~np.where(opens, begins_field[quotes], ends_field[quotes + 1])]] = True
        self.needs_fallback |= np.diff(np.append(num_before, len(quotes))) % 2 == 1
        of_delimiters = self._line_of(self._delimiters)
        self._keep((np.searchsorted(quotes, self._delimiters) - num_before[of_delimiters]) % 2 == 0)

    def fields(self, is_fast: Mask, positions: Sequence[int]) -> list[pa.Array]:
        """Returns the texts at some positions in the fast lines."""
        is_between = np.repeat(is_fast, self._numbers)
        shape = np.count_nonzero(is_fast), self._num_fields - 1
        starts = np.column_stack([self._firsts[is_fast], self._nexts[is_between].reshape(shape)])
        ends = np.column_stack([self._delimiters[is_between].reshape(shape), self._ends[is_fast]])
        return [self._texts(starts[:, at], ends[:, at]) for at in positions]

    def _texts(self, starts: Positions, ends: Positions) -> pa.Array:
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
