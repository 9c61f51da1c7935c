"""Reads the binary formats in blocks of rows: Parquet, and TFRecord files of tf.Examples."""

from __future__ import annotations

import collections
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.ingestion.formats.blocks import FastColumn, RawBlock, checked_texts, rows_of
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.record_readers import (
    can_be_decoded,
    example_row,
    example_types,
    parquet_batches,
    read_records,
    time_texts,
    to_python,
    to_seconds,
)
from transform.config.columns import Column

#: A block of a TFRecord file ends with the record that has this number in it, or these bytes.
RECORDS_AT_ONCE, BYTES_AT_ONCE = 10_000, 32 << 20

#: The errors of tfx-bsl's decoder about examples.
_REFUSALS = (RuntimeError, UnicodeDecodeError)


def read_parquet_blocks(path: str, columns: Sequence[str]) -> Iterator[RawBlock]:
    """Reads a Parquet file; the rows, the numbers and the errors are those of `readers.read_rows`."""
    number = 0
    for batch in parquet_batches(path, columns):
        yield _parquet_block(batch, number, columns)
        number += len(batch)


def _parquet_block(batch: pa.RecordBatch, number: int, columns: Sequence[str]) -> RawBlock:
    def raw(column: Column) -> FastColumn:
        values = batch.column(column.name)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if column.form is not None and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
            return FastColumn(time_texts(values), np.zeros(len(values), bool))
        return _arrow_column(values)

    def rows(positions: npt.NDArray[np.int64]) -> list[Mapping[str, Any]]:
        some = pa.array(positions)
        return rows_of({name: to_python(batch.column(name).take(some)) for name in columns})

    return RawBlock(np.arange(number + 1, number + len(batch) + 1), raw, rows)


def _arrow_column(column: pa.Array) -> FastColumn:
    """Returns a column of texts, numbers or lists; values of another type need the fallback."""
    kind = column.type
    no_fallback = np.zeros(len(column), bool)
    if pa.types.is_dictionary(kind):
        return _arrow_column(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        is_large = pa.types.is_large_string(kind)
        return FastColumn(*checked_texts(column.view(pa.large_binary() if is_large else pa.binary())))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return FastColumn(*checked_texts(column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items, fallback_items = _arrow_column(column.flatten())
        lengths = np.asarray(column.value_lengths().fill_null(0), np.int64)
        fallback = no_fallback
        fallback[np.repeat(np.arange(len(column)), lengths)[fallback_items]] = True
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return FastColumn(pa.ListArray.from_arrays(offsets, items, mask=column.is_null()), fallback)
    if pa.types.is_timestamp(kind):
        return FastColumn(to_seconds(column), no_fallback)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return FastColumn(column, no_fallback)
    return FastColumn(pa.nulls(len(column)), np.asarray(column.is_valid()))


def read_tfrecord_blocks(path: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawBlock]:
    """Reads a file of tf.Examples; the rows, the numbers and the errors are those of `readers.read_rows`."""
    records: list[tuple[int, bytes]] = []
    fallback_rows: list[RawRow] = []
    error: Exception | None = None
    num_bytes = 0
    try:
        for record in read_records(path, max_row_bytes):
            if isinstance(record, RawRow):
                fallback_rows.append(record)
                num_bytes += len(record.text)
            else:
                records.append(record)
                num_bytes += len(record[1])
            if len(records) + len(fallback_rows) >= RECORDS_AT_ONCE or num_bytes >= BYTES_AT_ONCE:
                yield _tfrecord_block(records, fallback_rows, columns)
                records, fallback_rows, num_bytes = [], [], 0
    except Exception as raised:  # raised again below, after the rows before it
        error = raised
    yield _tfrecord_block(records, fallback_rows, columns)
    if error is not None:
        raise error


def _tfrecord_block(
    records: Sequence[tuple[int, bytes]], fallback_rows: Sequence[RawRow], columns: Sequence[str]
) -> RawBlock:
    """Decodes records all at once, but for those that are no examples or have other types of values than most."""
    needs_fallback = np.zeros(len(records), bool)
    try:
        batch = _decode(records)
    except _REFUSALS:
        is_example = [can_be_decoded(record) for _, record in records]
        damaged = itertools.compress(records, map(operator.not_, is_example))
        records = list(itertools.compress(records, is_example))
        unreadable = (example_row(number, record, columns) for number, record in damaged)
        fallback_rows = sorted([*unreadable, *fallback_rows], key=lambda row: row.number)
        batch, needs_fallback = _decode_examples(records)
    names = frozenset(batch.schema.names)

    def raw(column: Column) -> FastColumn:
        if column.name not in names:
            return FastColumn(pa.nulls(len(records)), needs_fallback)
        lists = batch.column(batch.schema.get_field_index(column.name))
        fast = _list_column(lists) if column.kind == "list" else _first_values(lists)
        return FastColumn(fast.values, fast.fallback | needs_fallback)

    def rows(positions: npt.NDArray[np.int64]) -> list[Mapping[str, Any]]:
        some = (records[at] for at in positions.tolist())
        found = (example_row(number, record, columns) for number, record in some)
        return [row.values for row in found if row.values is not None]

    return RawBlock(np.array([number for number, _ in records], np.int64), raw, rows, fallback_rows)


def _decode(records: Iterable[tuple[int, bytes]]) -> pa.RecordBatch:
    """Decodes numbered examples; raises one of `_REFUSALS` if one is damaged or has another type of values."""
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([record for _, record in records])
    _ = batch.schema.names  # raises UnicodeDecodeError
    return batch


def _decode_examples(records: Sequence[tuple[int, bytes]]) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Decodes numbered examples; returns them, and which of them have other types than most: these are left empty.

    The types are those that Protocol Buffers find in Python. Of a map's entry with a damaged key, tfx-bsl reads the
    value, but they do not: only then each example is decoded by tfx-bsl alone, which takes longer.
    """

    def decoded(needs_fallback: npt.NDArray[np.bool_]) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        return _decode(
            (0, b"") if fallback else record for fallback, record in zip(needs_fallback, records, strict=True)
        ), needs_fallback

    needs_fallback = np.zeros(len(records), bool)
    for types_of in (example_types, _types_alone):
        try:
            return decoded(needs_fallback)
        except _REFUSALS:
            needs_fallback = _have_other_types([types_of(record) for _, record in records])
    return decoded(needs_fallback)


def _types_alone(record: bytes) -> dict[str, str]:
    """Returns the type of the values of each feature of an example, as tfx-bsl decodes it."""
    return {field.name: str(field.type) for field in _decode([(0, record)]).schema if not pa.types.is_null(field.type)}


def _have_other_types(types: Sequence[Mapping[str, str]]) -> npt.NDArray[np.bool_]:
    """Returns whether each example has a feature of another type than most of the examples that have the feature."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for of_example in types:
        for name, kind in of_example.items():
            counts[name][kind] += 1
    usual = {name: counted.most_common(1)[0][0] for name, counted in counts.items()}
    return np.array([any(usual[name] != kind for name, kind in of_example.items()) for of_example in types], bool)


def _list_column(lists: pa.Array) -> FastColumn:
    """Returns lists of texts; null where there is no text. Lists of numbers need the fallback."""
    if pa.types.is_null(lists.type):
        return FastColumn(lists, np.zeros(len(lists), bool))
    if not pa.types.is_large_binary(lists.type.value_type):
        return FastColumn(pa.nulls(len(lists)), _lengths(lists) > 0)
    column = _arrow_column(lists)
    return FastColumn(column.values, column.fallback)


def _first_values(lists: pa.Array) -> FastColumn:
    """Returns the values of lists with one; null where there is none. Several need the fallback."""
    if pa.types.is_null(lists.type):
        return FastColumn(lists, np.zeros(len(lists), bool))
    lengths = _lengths(lists)
    starts = np.cumsum(lengths) - lengths
    values = lists.flatten()
    if not (lengths == 1).all():
        values = values.take(pa.array(starts, mask=lengths != 1))
    fast = _arrow_column(values)
    return FastColumn(fast.values, fast.fallback | (lengths > 1))


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(lists.value_lengths().fill_null(0), np.int64)
