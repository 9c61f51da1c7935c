"""Reads a file by the reader of rows and by the reader of blocks, and compares what they return."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, settings

from components.ingestion.columns.parser import Parser, to_lists
from components.ingestion.formats import lines, parquet, tfrecord
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import Rejection, RowError, kept_text
from components.ingestion.formats.readers import PLAIN_TEXT
from components.ingestion.typed_reader import TypedReader
from tests.components.ingestion.row_by_row.readers import read_rows
from tests.drawn import so_many
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText, Source
from transform.errors import InputError

LIMITS = Ingestion(max_row_bytes=300, max_record_lines=4, max_field_bytes=32, max_list_values=3)
NULLS = ("", "none ", "99", "-0.5")
COLUMNS = (
    Column("id", "string", True),
    Column("tags", "list", False),
    Column("tags", "string", False, trim=False),
    Column("price", "float", False),
    Column("clicked", "label", True),
    Column("weight", "weight", False),
    Column("clicked", "randomized", True),
    Column("weight", "propensity", False),
    Column("time", "timestamp", True),
)
NAMES = ("id", "tags", "price", "clicked", "weight", "time")

Outcome = tuple[list[Any], list[Any], Any, str]


def settings_of(examples: int) -> settings:
    return settings(
        max_examples=so_many(examples),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def one_by_one(path: Path, source: Source, columns: tuple[Column, ...], limits: Ingestion) -> Outcome:
    """Returns the rows, the rejections, the counts of lines, and the error, from the row reader and the row parser."""
    parser = Parser(columns, source.null_values, source.list_separator, limits)
    names = list(dict.fromkeys(name for c in columns for name in c.names))
    rows, rejections, tally, error = [], [], LineTally(), ""
    num_rows = num_lines = num_multi_line = 0
    try:
        for raw in read_rows(str(path), source.format, names, limits, tally, source.text):
            num_rows, num_lines = num_rows + 1, num_lines + raw.num_lines
            num_multi_line += raw.num_lines > 1
            reason, detail = raw.reason, raw.detail
            if raw.values is not None:
                try:
                    rows.append((raw.number, *parser.parse_row(raw.values)))
                    continue
                except RowError as found:
                    reason, detail = found.reason, found.detail
            text = raw.text if raw.values is None else repr(dict(raw.values))
            rejections.append(Rejection("log", str(path), raw.number, reason, kept_text(detail), kept_text(text)))
    except InputError as found:
        error = str(found)
    return rows, rejections, (num_rows, num_lines, num_multi_line, tally), error


def in_blocks(path: Path, source: Source, columns: tuple[Column, ...], limits: Ingestion) -> Outcome:
    """Returns the same from `TypedReader`."""
    rows: list[Any] = []
    rejections: list[Any] = []
    tally, error = LineTally(), ""
    num_rows = num_lines = num_multi_line = 0
    try:
        for block in TypedReader("log", source, columns, limits).read(str(path), tally):
            rows += zip(block.numbers.tolist(), *to_lists(block.values), strict=True)
            rejections += block.rejections
            num_rows += block.num_rows
            num_lines += block.num_lines
            num_multi_line += block.num_multi_line
    except InputError as found:
        error = str(found)
    return rows, rejections, (num_rows, num_lines, num_multi_line, tally), error


def assert_the_same(
    path: Path,
    file_format: Any,
    columns: tuple[Column, ...] = COLUMNS,
    limits: Ingestion = LIMITS,
    text: DelimitedText = PLAIN_TEXT,
) -> None:
    source = Source(path="x", format=file_format, null_values=NULLS, text=text)
    expected = one_by_one(path, source, columns, limits)
    assert in_blocks(path, source, columns, limits) == expected
    event(f"a row: {bool(expected[0])}")
    event(f"a rejection: {bool(expected[1])}")


@contextlib.contextmanager
def blocks_of(size: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", size)
        patch.setattr(parquet, "PARQUET_BATCH_ROWS", size)
        patch.setattr(tfrecord, "RECORDS_AT_ONCE", size)
        yield
