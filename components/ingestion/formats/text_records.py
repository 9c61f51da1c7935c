"""Reads one record of a text file, a row or a blank line, from its lines."""

from __future__ import annotations

import collections
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from components.ingestion.formats.files import as_text, check_unique
from components.ingestion.formats.nested import flat
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RawRow
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError

#: Some Windows programs write it before the first line of a UTF-8 file.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: The first two bytes of a gzip file, decoded as text: the second byte is not UTF-8, hence the surrogate.
GZIP_MAGIC = "\x1f\udc8b"


class Lines:
    """Iterator over a text stream's lines for csv and json; keeps the number and the text of the record being read.

    Bytes that are not UTF-8 become surrogates, which the row rules reject column by column.

    Args:
      stream: The file, or lines from the middle of it.
      max_bytes: A longer line is too long.
      max_record_lines: A record with more lines is malformed.
      num_before: The number of lines in the file before the stream's first one.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int, max_record_lines: int = 1, num_before: int = 0):
        self._stream = stream
        self._max_record_lines = max_record_lines
        self.max_bytes = max_bytes
        self._is_first = num_before == 0
        self._again: collections.deque[tuple[str, bool]] = collections.deque()
        self._record: list[tuple[str, bool]] = []
        self._num_before = num_before

    @property
    def stream(self) -> BinaryIO:
        """The stream, after the lines that have been read."""
        return self._stream

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
        line = self._stream.readline(self.max_bytes + 1 + (len(BYTE_ORDER_MARK) if self._is_first else 0))
        if not line:
            raise StopIteration
        if self._is_first:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._is_first = False
        too_long = len(line) > self.max_bytes
        kept = line[:MAX_KEPT_CHARACTERS] if too_long else line
        while too_long and line and not line.endswith(b"\n"):
            line = self._stream.readline(1 << 20)
        return kept.decode("utf-8", "surrogateescape"), too_long


def dialect(file_format: str, text: DelimitedText) -> dict[str, Any]:
    """Returns the csv module's settings for a format."""
    is_tsv = file_format == "tsv"  # tab-separated files have no quoting: a quote is text
    delimiter = text.delimiter or ("\t" if is_tsv else ",")
    if not (text.quoting if text.quoting is not None else not is_tsv):
        return {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
    return {"delimiter": delimiter, "strict": True}


_TOO_LARGE = "a field must have at most as many characters as a row may have bytes (ingestion.max_row_bytes)"


def _rule(error: csv.Error) -> str:
    """Returns the rule that a line breaks, as text for a user; the csv module's messages address programmers."""
    text = str(error)
    if text.startswith("new-line character seen"):
        return "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes"
    if text.startswith("field larger than field limit"):
        return _TOO_LARGE
    return "a quoted field must be closed" if text == "unexpected end of data" else text


def read_names(lines: Lines, settings: Mapping[str, Any], path: str) -> list[str]:
    """Reads the column names from one line only, so that an unclosed quote in the header consumes no row."""
    line = next(lines, "")
    if line.startswith(GZIP_MAGIC):
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if "\0" in lines.first_line:  # for example UTF-16 or a binary file
        raise InputError(f"a text file must be UTF-8. Received: {lines.first_line[:40]!a} ({path})")
    if lines.too_long:
        raise InputError(f"the header line must have at most {lines.max_bytes} bytes ({path})")
    try:
        header: list[str] = next(csv.reader([line], **settings))
    except csv.Error as error:
        raise InputError(f"the header line cannot be read: {_rule(error)} ({path})") from error
    if not header:
        raise InputError(f"the file is empty; its first line must name the columns ({path})")
    check_unique(header, path)
    return header


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
    return lines, read_names(lines, dialect(file_format, text), path), num_skipped + 1


class DelimitedRecords:
    """Reads the records of a csv or tsv file, one after the other; see `readers.read_rows`.

    Args:
      lines: The file's lines after its header.
      settings: The csv module's, of `dialect`.
      header: The names of the file's columns.
      columns: The columns to read; the header has them.
    """

    def __init__(self, lines: Lines, settings: Mapping[str, Any], header: Sequence[str], columns: Sequence[str]):
        # The limit is the process's, and other code reads CSV in it too: it is raised only.
        csv.field_size_limit(max(lines.max_bytes, csv.field_size_limit()))
        self._lines, self._header = lines, header
        self._delimiter = settings["delimiter"]
        self._reader = csv.reader(lines, **settings)
        self._requested = [(name, header.index(name)) for name in columns]

    def __iter__(self) -> Iterator[RawRow | None]:
        """Yields each row, and None for a blank line."""
        while True:
            self._lines.start_record()
            try:
                fields, problem = next(self._reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                fields, problem = [], _rule(error)
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


def _mistake(fields: Sequence[str], header: Sequence[str], lines: Lines, delimiter: str) -> str:
    """Returns what is wrong with a record that the csv module has read; an empty string if nothing is."""
    if len(fields) != len(header):
        return f"a row must have {len(header)} fields. Received: {len(fields)}"
    if lines.num_lines > 1 and max(map(len, fields)) > lines.max_bytes:
        return _TOO_LARGE
    texts = [text for text in lines.texts if text.strip("\r\n")] if lines.num_lines > 1 else []
    if texts and all(text.count(delimiter) + 1 == len(header) for text in texts):
        return (
            f"a quoted field must not run over lines that are rows by themselves. Received: {len(texts)} lines, each "
            f"of {len(header)} fields"
        )
    return ""


def too_long(lines: Lines) -> RawRow:
    """Returns the row for a line that is too long."""
    return RawRow(lines.number, None, "too_long", f"a row must have at most {lines.max_bytes} bytes", lines.first_line)


def json_records(lines: Lines, columns: Sequence[str] | None = None) -> Iterator[RawRow | None]:
    """Yields each row of a jsonl file, and None for a blank line; without `columns`, a row's values are its object."""
    while True:
        lines.start_record()
        try:
            text = next(lines)
        except StopIteration:
            return
        if lines.too_long:
            yield too_long(lines)
        elif not text.strip():
            yield None
        else:
            yield _json_row(lines.number, text, columns)


def _json_row(number: int, text: str, columns: Sequence[str] | None) -> RawRow:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return RawRow(number, None, "malformed", f"a row must be a JSON object: {error}", text)
    if isinstance(row, dict):
        return RawRow(number, row if columns is None else flat(row, columns))
    return RawRow(number, None, "malformed", f"a row must be a JSON object. Received: {type(row).__name__}", text)
