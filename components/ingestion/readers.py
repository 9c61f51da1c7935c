"""Reads one file of any format, row by row, holding one row (or one Parquet batch) in memory."""

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

#: What stands before the first line of a UTF-8 file that some Windows programs write.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: How a gzip-compressed file begins, read as text: the second byte is no UTF-8.
GZIP_MAGIC = "\x1f\udc8b"


@dataclasses.dataclass
class LineTally:
    """The lines of a text file that are part of no row, as a reader has counted them so far.

    Attributes:
      header: 1 once the header line is read; 0 in a format without one.
      blank: Lines without a field.
    """

    header: int = 0
    blank: int = 0


def unit_of(file_format: str) -> Literal["line", "row"]:
    """What a row's number counts in a format: the file's lines, or its rows."""
    return "line" if file_format in TEXT_FORMATS else "row"


def read_rows(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally | None = None
) -> Iterator[RawRow]:
    """Reads a file.

    In a csv file, a stray quote opens a field that would take in all lines up to the next quote. So a record is
    cut back to its first line, which is unreadable, and read anew from its second line on, if it is malformed, has more
    than `max_record_lines` lines, or if its lines are rows by themselves: each that is not blank has, quotes taken as
    text, as many fields as the header.

    Args:
      path: The file, on any file system that Beam knows; decompressed if its name ends in `.gz`.
      file_format: `csv`, `tsv`, `jsonl`, `parquet` or `tfrecord`.
      columns: The columns wanted; the file must have them (a tfrecord and a jsonl file per row, if at all).
      limits: Of these, `max_row_bytes` (a longer row is yielded as unreadable, not held) and `max_record_lines`.
      tally: Takes the lines that are part of no row.

    Yields:
      Every row, the unreadable ones with their reason. Each line of a text file is part of one row, or in `tally`.

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
    """A file's checksum and lines, read apart from its rows; raises InputError if it cannot be read."""
    with _told_as_input_error(path, _Progress(unit_of(file_format))):
        return contents_of(path)


def read_header(path: str, file_format: str) -> list[str] | None:
    """The column names of a csv, tsv or Parquet file; None for the formats that name columns in every row."""
    with _told_as_input_error(path, _Progress(unit_of(file_format))):
        if file_format == "parquet":
            return parquet_names(path)
        if file_format not in ("csv", "tsv"):
            return None
        with open_file(path) as stream:
            return _header(_Lines(stream, Ingestion().max_row_bytes), file_format, path)


@dataclasses.dataclass
class _Progress:
    """The number of the last row that a reader has yielded, and what it counts."""

    unit: str
    number: int = 0


@contextlib.contextmanager
def _told_as_input_error(path: str, progress: _Progress) -> Iterator[None]:
    """Makes the libraries' errors about a file an InputError."""
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
    """The lines of a text stream as csv and json want them, with the number and the text of the record being read.

    Bytes that are not UTF-8 pass as surrogates, which the row rules reject column by column.
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
        """The number of the record's first line in the file; the file's first line is 1."""
        return self._num_before + 1

    @property
    def num_lines(self) -> int:
        """How many lines the record has taken so far."""
        return len(self._record)

    @property
    def texts(self) -> list[str]:
        """The record's lines; of a line that is too long, its beginning."""
        return [text for text, _ in self._record]

    @property
    def first_line(self) -> str:
        """The record's first line; of a line that is too long, its beginning."""
        return self._record[0][0] if self._record else ""

    @property
    def too_long(self) -> bool:
        """Whether one of the record's lines is too long."""
        return any(too_long for _, too_long in self._record)

    def start_record(self) -> None:
        self._num_before += len(self._record)
        self._record = []

    def read_again_after_first(self) -> None:
        """Gives back all lines of the record but the first: a stray quote must not take in the rows behind it."""
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
        # Of a line that is too long the end alone, so that a quote in the part that was dropped opens nothing.
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
    """The rule that a line breaks, where the csv module's words are for a programmer."""
    text = str(error)
    if text.startswith("new-line character seen"):
        return "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes"
    return "a quoted field must be closed" if text == "unexpected end of data" else text


def _header(lines: _Lines, file_format: str, path: str) -> list[str]:
    """The column names; the header is one line, so that a quote left open in it takes in no row."""
    line = next(lines, "")
    if line.startswith(GZIP_MAGIC):
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if "\0" in lines.first_line:  # such as UTF-16, or no text at all
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
    """What is wrong with a record that the csv module has read; empty if nothing is."""
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
