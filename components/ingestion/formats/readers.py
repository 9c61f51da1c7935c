"""Reads a file of any supported format, in blocks of rows; its columns' names; its checksum."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa

from components.ingestion.formats.blocks import RawBlock
from components.ingestion.formats.delimited import read_delimited_blocks, start_of_rows
from components.ingestion.formats.files import Contents, open_file, read_file_contents
from components.ingestion.formats.jsonl import read_jsonl_blocks
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.parquet import parquet_members, parquet_names, read_parquet_blocks
from components.ingestion.formats.serving_log import read_serving_log_blocks
from components.ingestion.formats.tfrecord import read_tfrecord_blocks
from transform.config.serving_log import SERVING_LOG
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError, UnreadableError
from transform.files.gzip_files import GZIP_ERRORS

#: The formats whose rows are lines of text.
TEXT_FORMATS = frozenset({"csv", "tsv", "jsonl"})

#: A delimited file in its format's usual form.
PLAIN_TEXT = DelimitedText()


def unit_of(file_format: str) -> Literal["line", "row"]:
    """Returns what row numbers count in a format: the file's lines or its rows."""
    return "line" if file_format in TEXT_FORMATS else "row"


def read_blocks(
    path: str,
    file_format: str,
    columns: Sequence[str] | None,
    limits: Ingestion,
    tally: LineTally | None = None,
    text: DelimitedText = PLAIN_TEXT,
) -> Iterator[RawBlock]:
    """Reads a file in blocks of rows.

    In a csv file, a stray quote opens a field that would include all lines up to the next quote. So the reader yields
    only a record's first line, as an unreadable row, and reads again from its second line on if the record is
    malformed, has more than `max_record_lines` lines, or consists of lines that are rows by themselves: each line that
    is not blank has as many fields as the header when quotes are read as text.

    Args:
      path: The file, on any file system that Beam supports; decompressed if its name ends in `.gz`.
      file_format: `csv`, `tsv`, `jsonl`, `parquet`, `tfrecord` or `serving_log`.
      columns: The columns to read. The file must have them, except that a row of a tfrecord or jsonl file, and a whole
        file of a serving_log, may lack any.
        In a jsonl or parquet file a name with dots may be a path to a member of nested objects (`nested`). With None,
        for jsonl only, a row's values are its object as it stands in the file.
      limits: The limits `max_row_bytes` (a longer row is yielded as unreadable, and not held in memory; not of
        parquet, whose rows have no length in the file) and `max_record_lines`.
      tally: Counts the lines that are part of no row.
      text: How a csv or tsv file is read.

    Yields:
      Every row; an unreadable row has a reason. Each line of a text file is either part of one row or in `tally`.

    Raises:
      InputError: If the file is missing, lacks a column, or ends in the middle of its compressed data.
      UnreadableError: If the file cannot be read now, though its bytes may be right.
    """
    tally = LineTally() if tally is None else tally
    blocks: Iterator[RawBlock]
    if file_format == "jsonl":
        blocks = read_jsonl_blocks(path, columns, limits, tally)
    elif columns is None:
        raise ValueError(f"the columns to read must be named. Received: None ({file_format})")
    elif file_format == "parquet":
        blocks = read_parquet_blocks(path, columns)
    elif file_format == SERVING_LOG:
        blocks = read_serving_log_blocks(path, columns)
    elif file_format == "tfrecord":
        blocks = read_tfrecord_blocks(path, columns, limits.max_row_bytes)
    else:
        blocks = read_delimited_blocks(path, file_format, columns, limits, tally, text)
    with reported_as_user_error(path, file_format) as progress:
        for block in blocks:
            yield block
            progress.number = max(progress.number, block.last_number)


def read_contents(path: str, file_format: str, text: DelimitedText = PLAIN_TEXT) -> Contents:
    """Computes a file's checksum and line count, independently of its rows; raises errors as `read_blocks`."""
    with reported_as_user_error(path, file_format):
        return read_file_contents(path, text)


def read_header(path: str, file_format: str, text: DelimitedText = PLAIN_TEXT) -> list[str] | None:
    """Returns the column names of a csv, tsv or Parquet file; None for the formats that name columns in every row.

    Args:
      path: The file.
      file_format: Its format.
      text: How a csv or tsv file is read.
    """
    with reported_as_user_error(path, file_format):
        if file_format == "parquet":
            return parquet_names(path)
        if file_format not in ("csv", "tsv"):
            return None
        with open_file(path) as stream:
            return start_of_rows(stream, file_format, text, Ingestion(), path)[1]


def read_members(path: str, names: Sequence[str]) -> list[str]:
    """Returns which of some columns of a Parquet file are members of structs; raises errors as `read_blocks`."""
    with reported_as_user_error(path, "parquet"):
        return parquet_members(path, names)


@dataclasses.dataclass
class Progress:
    """The number of the last row that a reader has yielded."""

    number: int = 0


@contextlib.contextmanager
def reported_as_user_error(path: str, file_format: str) -> Iterator[Progress]:
    """Converts the libraries' errors about a file to InputError, or UnreadableError if a later try may succeed."""
    progress = Progress()
    try:
        yield progress
    except (*GZIP_ERRORS, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the file is damaged or cut off after {unit_of(file_format)} {progress.number}; nothing of it is used: "
            f"{reason} ({path})"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"the file cannot be read: {error.strerror or error} ({path})") from error
    except OSError as error:
        raise UnreadableError.of(path, error) from error
