"""Reads TFRecord files of tf.Examples."""

from __future__ import annotations

import collections
import functools
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.ingestion.formats.arrow_values import arrow_column
from components.ingestion.formats.blocks import FastColumn, RawBlock
from components.ingestion.formats.files import open_file
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RawRow
from transform.config.columns import Column
from transform.files.tfrecords import HEAD_BYTES, TAIL_BYTES, Lengths, masked_checksum

#: A block of a TFRecord file ends with the record that has this number in it, or these bytes.
RECORDS_AT_ONCE, BYTES_AT_ONCE = 10_000, 32 << 20

#: The errors of tfx-bsl's decoder about examples.
_REFUSALS = (RuntimeError, UnicodeDecodeError)


def read_tfrecord_blocks(path: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawBlock]:
    """Reads a file of tf.Examples; see `readers.read_blocks`."""
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


def read_records(path: str, max_row_bytes: int) -> Iterator[tuple[int, bytes] | RawRow]:
    """Yields the number and the bytes of each record of a TFRecord file; the row, of one that is too long.

    TensorFlow's own reader does not detect that a file ends within a record: it ignores the cut record.
    """
    lengths = Lengths()
    number = 0
    with open_file(path) as stream:
        while head := stream.read(HEAD_BYTES):
            number += 1
            length = lengths[head]
            if length > max_row_bytes:
                detail = f"a row must have at most {max_row_bytes} bytes. Received: {length}"
                yield RawRow(number, None, "too_long", detail, ascii(_read_beginning(stream, length)))
                continue
            rest = stream.read(length + TAIL_BYTES)
            record = rest[:length]
            if rest[length:] != masked_checksum(record):
                raise EOFError("a record is cut off, or its bytes are not those that were written")
            yield number, record


def _read_beginning(stream: BinaryIO, length: int) -> bytes:
    """Skips a record and its checksum; returns the record's beginning."""
    kept = stream.read(min(length, MAX_KEPT_CHARACTERS))
    left = length - len(kept) + TAIL_BYTES
    while left > 0:
        block = stream.read(min(left, 1 << 20))
        if not block:
            raise EOFError("the file ends within a record")
        left -= len(block)
    return kept


def example_row(number: int, record: bytes, columns: Sequence[str]) -> RawRow:
    """Returns a serialized tf.Example, the record with this number, as a row."""
    try:
        features = _parse_features(record)
    except DecodeError as error:
        return RawRow(number, None, "undecodable", f"a record must be a tf.Example: {error}", ascii(record))
    return RawRow(number, {name: _example_value(features, name) for name in columns})


def can_be_decoded(record: bytes) -> bool:
    """Whether a record is a serialized tf.Example."""
    try:
        _parse_features(record)
    except DecodeError:
        return False
    return True


def example_types(record: bytes) -> dict[str, str]:
    """Returns the type of the values of each feature of a serialized tf.Example."""
    kinds = ((name, feature.WhichOneof("kind")) for name, feature in _parse_features(record).items())
    return {name: kind for name, kind in kinds if kind is not None}


def _parse_features(record: bytes) -> Any:
    return _example().FromString(record).features.feature


@functools.cache
def _example() -> Any:
    # Imported here only: it imports TensorFlow, which the other formats do not need.
    from tensorflow.core.example import example_pb2

    return example_pb2.Example


def _example_value(features: Any, name: str) -> Any:
    feature = features.get(name)
    kind = None if feature is None else feature.WhichOneof("kind")
    if kind is None:
        return None
    values = getattr(feature, kind).value
    # Most have one value, and a container of Protocol Buffers is slow to iterate over.
    return (values[0],) if len(values) == 1 else tuple(values) or None


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
    return arrow_column(lists)


def _first_values(lists: pa.Array) -> FastColumn:
    """Returns the values of lists with one; null where there is none. Several need the fallback."""
    if pa.types.is_null(lists.type):
        return FastColumn(lists, np.zeros(len(lists), bool))
    lengths = _lengths(lists)
    starts = np.cumsum(lengths) - lengths
    values = lists.flatten()
    if not (lengths == 1).all():
        values = values.take(pa.array(starts, mask=lengths != 1))
    fast = arrow_column(values)
    return FastColumn(fast.values, fast.fallback | (lengths > 1))


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(lists.value_lengths().fill_null(0), np.int64)
