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
from typing import Any, BinaryIO

import pyarrow as pa
import tensorflow as tf

from components.ingestion.files import check_columns, check_unique, open_file
from components.ingestion.record_readers import parquet_names, read_parquet, read_tfrecord
from components.ingestion.rows import MAX_KEPT_CHARACTERS, RawRow
from transform.errors import InputError

#: What stands before the first line of a UTF-8 file that some Windows programs write.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: How a gzip-compressed file begins, read as text: the second byte is no UTF-8.
GZIP_MAGIC = "\x1f\udc8b"


def read_rows(path: str, file_format: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawRow]:
    """Reads a file.

    Args:
      path: The file, on any file system that Beam knows; decompressed if its name ends in `.gz`.
      file_format: `csv`, `tsv`, `jsonl`, `parquet` or `tfrecord`.
      columns: The columns wanted; the file must have them (a tfrecord and a jsonl file per row, if at all).
      max_row_bytes: A longer row is yielded as unreadable, not held.

    Yields:
      Every row, the unreadable ones with their reason.

    Raises:
      InputError: If the file cannot be read, lacks a column, or ends in the middle of its compressed data.
    """
    readers = {
        "csv": _read_delimited,
        "tsv": _read_delimited,
        "jsonl": _read_jsonl,
        "parquet": read_parquet,
        "tfrecord": read_tfrecord,
    }
    progress = _Progress()
    with _told_as_input_error(path, progress):
        for row in readers[file_format](path, file_format, columns, max_row_bytes):
            progress.row_number = row.number
            yield row


def read_header(path: str, file_format: str) -> list[str] | None:
    """The column names of a csv, tsv or Parquet file; None for the formats that name columns in every row."""
    with _told_as_input_error(path, _Progress()):
        if file_format == "parquet":
            return parquet_names(path)
        if file_format not in ("csv", "tsv"):
            return None
        with open_file(path) as stream:
            lines = _Lines(stream, 1_000_000)
            return _header(csv.reader(lines, **_dialect(file_format)), lines, path)


@dataclasses.dataclass
class _Progress:
    """How far a reader came."""

    row_number: int = 0


@contextlib.contextmanager
def _told_as_input_error(path: str, progress: _Progress) -> Iterator[None]:
    """Makes the libraries' errors about a file an InputError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tf.errors.DataLossError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the file is damaged or cut off after row {progress.row_number}; nothing of it is used: {reason} ({path})"
        ) from error
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        raise InputError(f"the file cannot be read: {' '.join(reason.split())} ({path})") from error


class _Lines:
    """The lines of a text stream as csv and json want them, with what a rejected row needs to be told of.

    Bytes that are not UTF-8 pass as surrogates, which the row rules reject column by column.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int):
        self._stream = stream
        self.max_bytes = max_bytes
        self._is_first = True
        self._again: collections.deque[tuple[str, bool]] = collections.deque()
        self._record: list[tuple[str, bool]] = []

    @property
    def num_lines(self) -> int:
        """How many lines the record has taken so far."""
        return len(self._record)

    @property
    def first_line(self) -> str:
        """The record's first line; of a line that is too long, its beginning."""
        return self._record[0][0] if self._record else ""

    @property
    def too_long(self) -> bool:
        """Whether one of the record's lines is too long."""
        return any(too_long for _, too_long in self._record)

    def start_record(self) -> None:
        self._record = []

    def read_again_after_first(self) -> None:
        """Gives back all lines of the record but the first: a stray quote must not swallow the rows behind it."""
        self._again.extendleft(reversed(self._record[1:]))
        del self._record[1:]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text, too_long = self._again.popleft() if self._again else self._next_line()
        self._record.append((text, too_long))
        # Of a line that is too long the end alone, so that a quote in the part that was dropped opens nothing.
        return "\n" if too_long else text

    def _next_line(self) -> tuple[str, bool]:
        line = self._stream.readline(self.max_bytes + 1)
        if self._is_first:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._is_first = False
        if not line:
            raise StopIteration
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


def _header(reader: Any, lines: _Lines, path: str) -> list[str]:
    problem: csv.Error | None = None
    header = None
    try:
        header = next(reader, None)
    except csv.Error as error:
        problem = error
    line = lines.first_line
    if line.startswith(GZIP_MAGIC):
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if "\0" in line:  # such as UTF-16, or no text at all
        raise InputError(f"a text file must be UTF-8. Received: {line[:40]!a} ({path})")
    if lines.too_long:
        raise InputError(f"the header line must have at most {lines.max_bytes} bytes ({path})")
    if problem is not None:
        raise InputError(f"the header line cannot be read: {_rule(problem)} ({path})") from problem
    if not header:
        raise InputError(f"the file is empty; its first line must name the columns ({path})")
    check_unique(header, path)
    return list(header)


def _read_delimited(path: str, file_format: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawRow]:
    csv.field_size_limit(max_row_bytes)
    with open_file(path) as stream:
        lines = _Lines(stream, max_row_bytes)
        reader = csv.reader(lines, **_dialect(file_format))
        header = _header(reader, lines, path)
        check_columns(header, columns, path)
        wanted = [(name, header.index(name)) for name in columns]
        number = 0
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
                number += 1
                if lines.num_lines == 1:
                    detail = f"a row must have at most {max_row_bytes} bytes"
                    yield RawRow(number, None, "too_long", detail, lines.first_line)
                else:
                    lines.read_again_after_first()
                    problem = "a quoted field must not run into a line that is too long"
                    yield RawRow(number, None, "malformed", problem, lines.first_line)
                continue
            if not fields and not problem:
                continue  # an empty line is no row
            number += 1
            if not problem and len(fields) != len(header):
                problem = f"a row must have {len(header)} fields. Received: {len(fields)}"
            if problem:
                lines.read_again_after_first()
                yield RawRow(number, None, "malformed", problem, lines.first_line)
            else:
                yield RawRow(number, {name: fields[index] for name, index in wanted})


def _read_jsonl(path: str, _format: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawRow]:
    with open_file(path) as stream:
        lines = _Lines(stream, max_row_bytes)
        number = 0
        while True:
            lines.start_record()
            try:
                text = next(lines)
            except StopIteration:
                break
            if lines.too_long:
                number += 1
                detail = f"a row must have at most {max_row_bytes} bytes"
                yield RawRow(number, None, "too_long", detail, lines.first_line)
                continue
            if not text.strip():
                continue
            number += 1
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield RawRow(number, None, "malformed", f"a row must be a JSON object: {error}", text)
                continue
            if isinstance(row, dict):
                yield RawRow(number, {name: row.get(name) for name in columns})
            else:
                detail = f"a row must be a JSON object. Received: {type(row).__name__}"
                yield RawRow(number, None, "malformed", detail, text)
