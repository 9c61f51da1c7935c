"""Reads jsonl files: the objects of a block of lines, and their values column by column."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.formats.arrow_values import is_utf_8
from components.ingestion.formats.blocks import FastColumn, RawBlock
from components.ingestion.formats.files import open_file
from components.ingestion.formats.lines import Chunks, Lines, LineTally, too_long
from components.ingestion.formats.nested import flat, values_of
from components.ingestion.formats.raw_rows import RawRow
from transform.config.columns import Column
from transform.config.settings import Ingestion


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


def read_jsonl_blocks(
    path: str, columns: Sequence[str] | None, limits: Ingestion, tally: LineTally
) -> Iterator[RawBlock]:
    """Reads a jsonl file; see `readers.read_blocks`."""
    with open_file(path) as stream:
        chunks, num_before = Chunks(stream, limits.max_row_bytes), 0
        while not chunks.has_ended:
            data = chunks.next()
            block, num_lines = _json_block(data, num_before, columns, limits, tally)
            yield block
            num_before += num_lines
        if chunks.error is not None:
            raise chunks.error


def _json_block(
    data: bytes, num_before: int, columns: Sequence[str] | None, limits: Ingestion, tally: LineTally
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

    def some_rows(positions: npt.NDArray[Any]) -> list[Mapping[str, Any]]:
        return [rows[at] if columns is None else flat(rows[at], columns) for at in positions]

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


def json_column(values: Sequence[Any]) -> FastColumn:
    """Returns a column of values as `json.loads` returns them.

    Only values of the most frequent type are fast. Integers and floats are one type here. A text or an item of a list
    that is not UTF-8 needs the fallback too.
    """
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if not kinds:
        return FastColumn(pa.nulls(len(values)), np.zeros(len(values), bool))
    allowed = _most_common(values, kinds)
    if kinds <= allowed:
        fallback = np.zeros(len(values), bool)
    else:
        fallback = np.array([value is not None and type(value) not in allowed for value in values])
        values = [None if needs_fallback else value for value, needs_fallback in zip(values, fallback, strict=True)]
    convert = _CONVERTERS.get(next(iter(allowed)), _numbers)
    array, more = convert(values)
    return FastColumn(array, fallback | more)


def _most_common(values: Sequence[Any], kinds: set[type]) -> set[type]:
    groups: tuple[set[type], ...] = ({str}, {int, float}, {list}, {bool})
    found = [group for group in groups if group & kinds]
    if len(found) == 1:
        return found[0]
    numbers = [sum(type(value) in group for value in values) for group in found]
    return found[int(np.argmax(numbers))] if found else {bool}


def _texts(values: Sequence[str | None]) -> tuple[pa.Array, Any]:
    fallback = np.zeros(len(values), bool)
    try:
        return pa.array(values, pa.string()), fallback
    except UnicodeEncodeError:
        fallback = np.array([value is not None and not is_utf_8(value) for value in values])
        return pa.array([None if o else v for v, o in zip(values, fallback, strict=True)], pa.string()), fallback


def _lists(values: Sequence[list[Any] | None]) -> tuple[pa.Array, Any]:
    """Returns lists of texts; a list with anything else but null needs the fallback."""
    fallback = np.array(
        [
            value is not None and not all(item is None or (type(item) is str and is_utf_8(item)) for item in value)
            for value in values
        ],
        bool,
    )
    kept = [None if o else v for v, o in zip(values, fallback, strict=True)]
    return pa.array(kept, pa.list_(pa.string())), fallback


def _numbers(values: Sequence[Any]) -> tuple[pa.Array, Any]:
    kinds = set(map(type, values)) - {type(None)}
    fallback = np.zeros(len(values), bool)
    try:
        if kinds == {bool}:
            return pa.array(values, pa.bool_()), fallback
        if kinds == {int}:
            return pa.array(values, pa.int64()), fallback
        return pa.array([None if v is None else float(v) for v in values], pa.float64()), fallback
    except (OverflowError, pa.ArrowInvalid):
        return pa.nulls(len(values)), np.array([value is not None for value in values])


_CONVERTERS: dict[type, Callable[[Sequence[Any]], tuple[pa.Array, Any]]] = {str: _texts, list: _lists}
