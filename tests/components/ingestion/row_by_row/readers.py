"""Reads a file of any format row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from components.ingestion.formats.arrow_values import to_python
from components.ingestion.formats.delimited import DelimitedRecords, start_of_rows
from components.ingestion.formats.delimiters import delimiter_of
from components.ingestion.formats.files import check_columns, open_file
from components.ingestion.formats.jsonl import json_records
from components.ingestion.formats.lines import Lines, LineTally
from components.ingestion.formats.parquet import parquet_batches
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import PLAIN_TEXT, reported_as_user_error
from components.ingestion.formats.tfrecord import example_row, read_records
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText


def read_rows(
    path: str,
    file_format: str,
    columns: Sequence[str],
    limits: Ingestion,
    tally: LineTally | None = None,
    text: DelimitedText = PLAIN_TEXT,
) -> Iterator[RawRow]:
    """Yields the rows that `read_blocks` yields, and raises the errors that it raises."""
    tally = LineTally() if tally is None else tally
    with reported_as_user_error(path, file_format) as progress:
        for row in _rows(path, file_format, columns, limits, tally, text):
            progress.number = row.number
            yield row


def _rows(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally, text: DelimitedText
) -> Iterator[RawRow]:
    if file_format == "parquet":
        return _read_parquet(path, columns)
    if file_format == "tfrecord":
        return _read_tfrecord(path, columns, limits.max_row_bytes)
    if file_format == "jsonl":
        return _read_jsonl(path, columns, limits, tally)
    return _read_delimited(path, file_format, columns, limits, tally, text)


def _read_parquet(path: str, columns: Sequence[str]) -> Iterator[RawRow]:
    number = 0
    for batch in parquet_batches(path, columns):
        lists = [to_python(batch.column(name)) for name in columns]
        for values in zip(*lists, strict=True):
            number += 1
            yield RawRow(number, dict(zip(columns, values, strict=True)))


def _read_tfrecord(path: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawRow]:
    for record in read_records(path, max_row_bytes):
        yield record if isinstance(record, RawRow) else example_row(record[0], record[1], columns)


def _read_delimited(
    path: str, file_format: str, columns: Sequence[str], limits: Ingestion, tally: LineTally, text: DelimitedText
) -> Iterator[RawRow]:
    with open_file(path) as stream:
        lines, header, num_lines = start_of_rows(stream, file_format, text, limits, path)
        check_columns(header, columns, path, is_delimited=True)
        tally.header += num_lines
        yield from _tallied(DelimitedRecords(lines, delimiter_of(file_format, text), header, columns), tally)


def _read_jsonl(path: str, columns: Sequence[str], limits: Ingestion, tally: LineTally) -> Iterator[RawRow]:
    with open_file(path) as stream:
        yield from _tallied(json_records(Lines(stream, limits.max_row_bytes), columns), tally)


def _tallied(records: Iterable[RawRow | None], tally: LineTally) -> Iterator[RawRow]:
    for row in records:
        if row is None:
            tally.blank += 1
        else:
            yield row
