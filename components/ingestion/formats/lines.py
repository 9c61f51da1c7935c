"""The lines of a text file: one after the other, and in blocks of whole lines."""

from __future__ import annotations

import collections
import csv
import dataclasses
from typing import BinaryIO

from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RawRow

#: Some Windows programs write it before the first line of a UTF-8 file.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Bytes of a file that are split at once.
BLOCK_BYTES = 4 << 20

#: The most bytes that are read at once: as many as the buffer of a file has.
_READ_BYTES = 1 << 20


@dataclasses.dataclass
class LineTally:
    """A reader's running count of a text file's lines that are part of no row.

    Attributes:
      header: The lines before the first row: those to skip, and the header line; 0 in a format without a header.
      blank: Lines without a field.
    """

    header: int = 0
    blank: int = 0


class Lines:
    """Iterator over a text stream's lines for csv and json; keeps the number and the text of the record being read.

    Bytes that are not UTF-8 become surrogates, which the row rules reject column by column.

    Args:
      stream: The file, or lines from the middle of it.
      max_bytes: A longer line is too long.
      max_record_lines: A record with more lines is malformed.
      num_before: The number of lines in the file before the stream's first one.

    Attributes:
      stream: The stream, after the lines that have been read.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int, max_record_lines: int = 1, num_before: int = 0):
        self.stream = stream
        self._max_record_lines = max_record_lines
        self.max_bytes = max_bytes
        self._is_first = num_before == 0
        self._again: collections.deque[tuple[str, bool]] = collections.deque()
        self._record: list[tuple[str, bool]] = []
        self._num_before = num_before

    @property
    def number(self) -> int:
        """The number, in the file, of the record's first line; the file's first line is 1."""
        return self._num_before + 1

    @property
    def num_lines(self) -> int:
        """The number of lines that the record has so far."""
        return len(self._record)

    @property
    def texts(self) -> list[str]:
        """The record's lines; a line that is too long is cut to its beginning."""
        return [text for text, _ in self._record]

    @property
    def first_line(self) -> str:
        """The record's first line; cut to its beginning if it is too long."""
        return self._record[0][0] if self._record else ""

    @property
    def too_long(self) -> bool:
        """Whether one of the record's lines is too long."""
        return any(too_long for _, too_long in self._record)

    def start_record(self) -> None:
        self._num_before += len(self._record)
        self._record = []

    def read_again_after_first(self) -> None:
        """Queues all lines of the record but the first again: a stray quote must not consume the rows after it."""
        self._again.extendleft(reversed(self._record[1:]))
        del self._record[1:]

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if len(self._record) == self._max_record_lines:
            raise csv.Error(
                f"a row must have at most {self._max_record_lines} lines (ingestion.max_record_lines), and a quoted "
                "field must be closed within them"
            )
        text, too_long = self._again.popleft() if self._again else self._next_line()
        self._record.append((text, too_long))
        # A line that is too long becomes a bare newline, so that a quote in it opens no field.
        return "\n" if too_long else text

    def _next_line(self) -> tuple[str, bool]:
        line = self.stream.readline(self.max_bytes + 1 + (len(BYTE_ORDER_MARK) if self._is_first else 0))
        if not line:
            raise StopIteration
        if self._is_first:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._is_first = False
        too_long = len(line) > self.max_bytes
        kept = line[:MAX_KEPT_CHARACTERS] if too_long else line
        while too_long and line and not line.endswith(b"\n"):
            line = self.stream.readline(1 << 20)
        return kept.decode("utf-8", "surrogateescape"), too_long


def too_long(lines: Lines) -> RawRow:
    """Returns the row for a line that is too long."""
    return RawRow(lines.number, None, "too_long", f"a row must have at most {lines.max_bytes} bytes", lines.first_line)


class Chunks:
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
