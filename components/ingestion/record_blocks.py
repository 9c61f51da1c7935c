"""Reads the binary formats in blocks of rows: Parquet, and TFRecord files of tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion import record_readers
from components.ingestion.batch_parser import Plain
from components.ingestion.blocks import RawBlock, checked_texts, json_column, rows_of
from components.ingestion.record_readers import parquet_batches, seconds_of, to_python
from components.ingestion.rows import RawRow
from transform.config.config import Column

#: A block of a TFRecord file ends with the record that has this number in it, or these bytes.
RECORDS_AT_ONCE, BYTES_AT_ONCE = 10_000, 32 << 20


def read_parquet_blocks(path: str, columns: Sequence[str]) -> Iterator[RawBlock]:
    """Reads a Parquet file; the rows, the numbers and the errors are those of `readers.read_rows`."""
    number = 0
    for batch in parquet_batches(path, columns):
        yield _parquet_block(batch, number, columns)
        number += len(batch)


def _parquet_block(batch: pa.RecordBatch, number: int, columns: Sequence[str]) -> RawBlock:
    def raw(column: Column) -> Plain:
        return _arrow_column(batch.column(column.name))

    def rows(positions: npt.NDArray[np.int64]) -> list[Mapping[str, Any]]:
        some = pa.array(positions)
        return rows_of({name: to_python(batch.column(name).take(some)) for name in columns})

    return RawBlock(np.arange(number + 1, number + len(batch) + 1), raw, rows)


def _arrow_column(column: pa.Array) -> Plain:
    """Returns a column of texts, numbers or lists; values of another type are odd."""
    kind = column.type
    none_odd = np.zeros(len(column), bool)
    if pa.types.is_dictionary(kind):
        return _arrow_column(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        is_large = pa.types.is_large_string(kind)
        return Plain(*checked_texts(column.view(pa.large_binary() if is_large else pa.binary())))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Plain(*checked_texts(column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items, odd_items = _arrow_column(column.flatten())
        lengths = np.asarray(column.value_lengths().fill_null(0), np.int64)
        odd = none_odd
        odd[np.repeat(np.arange(len(column)), lengths)[odd_items]] = True
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return Plain(pa.ListArray.from_arrays(offsets, items, mask=column.is_null()), odd)
    if pa.types.is_timestamp(kind):
        return Plain(seconds_of(column), none_odd)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return Plain(column, none_odd)
    return Plain(pa.nulls(len(column)), np.asarray(column.is_valid()))


def read_tfrecord_blocks(path: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawBlock]:
    """Reads a file of tf.Examples; the rows, the numbers and the errors are those of `readers.read_rows`."""
    numbers: list[int] = []
    rows: list[Mapping[str, Any]] = []
    others: list[RawRow] = []
    error: Exception | None = None
    num_bytes = 0
    try:
        for length, row in record_readers.read_sized_tfrecord(path, columns, max_row_bytes):
            num_bytes += length
            if row.values is None:
                others.append(row)
            else:
                numbers.append(row.number)
                rows.append(row.values)
            if len(numbers) + len(others) >= RECORDS_AT_ONCE or num_bytes >= BYTES_AT_ONCE:
                yield _tfrecord_block(numbers, rows, others)
                numbers, rows, others, num_bytes = [], [], [], 0
    except Exception as raised:  # raised again below, after the rows before it
        error = raised
    yield _tfrecord_block(numbers, rows, others)
    if error is not None:
        raise error


def _tfrecord_block(numbers: Sequence[int], rows: Sequence[Mapping[str, Any]], others: Sequence[RawRow]) -> RawBlock:
    def raw(column: Column) -> Plain:
        values = [row[column.name] for row in rows]
        if column.kind == "list":
            return json_column([None if value is None else list(value) for value in values])
        # A value of several items is left to `RowParser`.
        return json_column([value[0] if value is not None and len(value) == 1 else value for value in values])

    return RawBlock(np.array(numbers, np.int64), raw, lambda positions: [rows[at] for at in positions], others)
