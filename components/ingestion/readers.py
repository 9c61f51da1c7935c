"""Reads one file of any supported format, row by row, holding one row (or one Parquet batch) in memory."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import tensorflow as tf

from components.ingestion.files import Contents, check_columns, check_unique, contents_of, open_file
from components.ingestion.record_readers import parquet_names, read_parquet, read_tfrecord
from components.ingestion.rows import MAX_KEPT_CHARACTERS, RawRow
from transform.config.settings import Ingestion
from transform.errors import InputError

#: The formats whose rows are lines of text.
TEXT_FORMATS = frozenset({"csv", "tsv", "jsonl"})

#: Some Windows programs write it before the first line of a UTF-8 file.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: The first two bytes of a gzip file, decoded as text: the second byte is not UTF-8, hence the surrogate.
GZIP_MAGIC = "\x1f\udc8b"


@dataclasses.dataclass
class LineTally:
    """A reader's running count of a text file's lines that are part of no row.

    Attributes:
      header: 1 once the header line is read; 0 in a format without a header.
      blank: Lines without a field.
    """

    header: int = 0
    blank: int = 0


def unit_of(file_format: str) -> Literal["line", "row"]:
    """Returns what row numbers count in a format: the file's lines or its rows."""
    return "line" if file_format in TEXT_FORMATS else "row"


def read_rows(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally | None = None
) -> Iterator[RawRow]:
    """Reads a file.

    In a csv file, a stray quote opens a field that would include all lines up to the next quote. So the reader yields
    only a record's first line, as an unreadable row, and reads again from its second line on if the record is
    malformed, has more than `max_record_lines` lines, or consists of lines that are rows by themselves: each line that
    is not blank has as many fields as the header when quotes are read as text.

    Args:
      path: The file, on any file system that Beam supports; decompressed if its name ends in `.gz`.
      file_format: `csv`, `tsv`, `jsonl`, `parquet` or `tfrecord`.
      columns: The columns to read. The file must have them, except that a row of a tfrecord or jsonl file may lack any.
      limits: The limits `max_row_bytes` (a longer row is yielded as unreadable, and not held in memory) and
        `max_record_lines`.
      tally: Counts the lines that are part of no row.

    Yields:
      Every row; an unreadable row has a reason. Each line of a text file is either part of one row or in `tally`.

    Raises:
      InputError: If the file cannot be read, lacks a column, or ends in the middle of its compressed data.
    """
    tally = LineTally() if tally is None else tally
    progress = _Progress(unit_of(file_format))
    with _told_as_input_error(path, progress):
        for row in _rows(path, file_format, columns, limits, tally):
            progress.number = row.number
            yield row


def _rows(path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally) -> Iterator[RawRow]:
    match file_format:
        case "csv" | "tsv":
            return _read_delimited(path, file_format, columns, limits, tally)
        case "jsonl":
            return _read_jsonl(path, columns, limits, tally)
        case "parquet":
            return read_parquet(path, columns)
        case "tfrecord":
            return read_tfrecord(path, columns, limits.max_row_bytes)
    raise ValueError(f"unknown format: {file_format}")


def read_contents(path: str, file_format: str) -> Contents:
    """Computes a file's checksum and line count, independently of its rows; raises InputError if it cannot be read."""
    with _told_as_input_error(path, _Progress(unit_of(file_format))):
        return contents_of(path)


def read_header(path: str, file_format: str) -> list[str] | None:
    """Returns the column names of a csv, tsv or Parquet file; None for the formats that name columns in every row."""
    with _told_as_input_error(path, _Progress(unit_of(file_format))):
        if file_format == "parquet":
            return parquet_names(path)
        if file_format not in ("csv", "tsv"):
            return None
        with open_file(path) as stream:
            return _header(_Lines(stream, Ingestion().max_row_bytes), file_format, path)


@dataclasses.dataclass
class _Progress:
    """The number of the last row that a reader has yielded, and its unit (`unit_of`)."""

    unit: str
    number: int = 0


@contextlib.contextmanager
def _told_as_input_error(path: str, progress: _Progress) -> Iterator[None]:
    """Converts the libraries' errors about a file to InputError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tf.errors.DataLossError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the file is damaged or cut off after {progress.unit} {progress.number}; nothing of it is used: {reason} "
            f"({path})"
        ) from error
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise InputError(f"the file cannot be read: {' '.join(reason.split())} ({path})") from error


class _Lines:
    """Iterator over a text stream's lines for csv and json; keeps the number and the text of the record being read.

    Bytes that are not UTF-8 become surrogates, which the row rules reject column by column.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int, max_record_lines: int = 1):
        self._stream = stream
        self._max_record_lines = max_record_lines
        self.max_bytes = max_bytes
        self._is_first = True
        self._again: collections.deque[tuple[str, bool]] = collections.deque()
        self._record: list[tuple[str, bool]] = []
        self._num_before = 0

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

    def __iter__(self) -> _Lines:
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
        line = self._stream.readline(self.max_bytes + 1)
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


def _dialect(file_format: str) -> dict[str, Any]:
    if file_format == "tsv":  # tab-separated files have no quoting: a quote is text
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return {"delimiter": ",", "strict": True}


def _rule(error: csv.Error) -> str:
    """Returns the rule that a line breaks, as text for a user; the csv module's messages address programmers."""
    text = str(error)
    if text.startswith("new-line character seen"):
        return "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes"
    return "a quoted field must be closed" if text == "unexpected end of data" else text


def _header(lines: _Lines, file_format: str, path: str) -> list[str]:
    """Reads the column names from one line only, so that an unclosed quote in the header consumes no row."""
    line = next(lines, "")
    if line.startswith(GZIP_MAGIC):
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if "\0" in lines.first_line:  # for example UTF-16 or a binary file
        raise InputError(f"a text file must be UTF-8. Received: {lines.first_line[:40]!a} ({path})")
    if lines.too_long:
        raise InputError(f"the header line must have at most {lines.max_bytes} bytes ({path})")
    try:
        header: list[str] = next(csv.reader([line], **_dialect(file_format)))
    except csv.Error as error:
        raise InputError(f"the header line cannot be read: {_rule(error)} ({path})") from error
    if not header:
        raise InputError(f"the file is empty; its first line must name the columns ({path})")
    check_unique(header, path)
    return header


def _read_delimited(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally
) -> Iterator[RawRow]:
    csv.field_size_limit(limits.max_row_bytes)
    dialect = _dialect(file_format)
    with open_file(path) as stream:
        lines = _Lines(stream, limits.max_row_bytes, limits.max_record_lines)
        header = _header(lines, file_format, path)
        check_columns(header, columns, path)
        tally.header += 1
        reader = csv.reader(lines, **dialect)
        wanted = [(name, header.index(name)) for name in columns]
        while True:
            lines.start_record()
            problem = ""
            fields: list[str] = []
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = _rule(error)
            if lines.too_long:
                if lines.num_lines == 1:
                    yield _too_long(lines)
                else:
                    lines.read_again_after_first()
                    problem = "a quoted field must not run into a line that is too long"
                    yield RawRow(lines.number, None, "malformed", problem, lines.first_line)
                continue
            if not fields and not problem:
                tally.blank += 1
                continue
            problem = problem or _mistake(fields, header, lines, dialect["delimiter"])
            if problem:
                lines.read_again_after_first()
                yield RawRow(lines.number, None, "malformed", problem, lines.first_line)
            else:
                values = {name: fields[index] for name, index in wanted}
                yield RawRow(lines.number, values, num_lines=lines.num_lines)


def _mistake(fields: Sequence[str], header: Sequence[str], lines: _Lines, delimiter: str) -> str:
    """Returns what is wrong with a record that the csv module has read; an empty string if nothing is."""
    if len(fields) != len(header):
        return f"a row must have {len(header)} fields. Received: {len(fields)}"
    texts = [text for text in lines.texts if text.strip("\r\n")] if lines.num_lines > 1 else []
    if texts and all(text.count(delimiter) + 1 == len(header) for text in texts):
        return (
            f"a quoted field must not run over lines that are rows by themselves. Received: {len(texts)} lines, each "
            f"of {len(header)} fields"
        )
    return ""


def _too_long(lines: _Lines) -> RawRow:
    return RawRow(lines.number, None, "too_long", f"a row must have at most {lines.max_bytes} bytes", lines.first_line)


def _read_jsonl(path: str, columns: Sequence[str], limits: Ingestion, tally: LineTally) -> Iterator[RawRow]:
    with open_file(path) as stream:
        lines = _Lines(stream, limits.max_row_bytes)
        while True:
            lines.start_record()
            try:
                text = next(lines)
            except StopIteration:
                break
            if lines.too_long:
                yield _too_long(lines)
                continue
            if not text.strip():
                tally.blank += 1
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield RawRow(lines.number, None, "malformed", f"a row must be a JSON object: {error}", text)
                continue
            if isinstance(row, dict):
                yield RawRow(lines.number, {name: row.get(name) for name in columns})
            else:
                detail = f"a row must be a JSON object. Received: {type(row).__name__}"
                yield RawRow(lines.number, None, "malformed", detail, text)
