"""Reads the binary formats: Parquet, and TFRecord files of tf.Examples."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.protobuf.message import DecodeError

from components.ingestion.formats.files import check_columns, check_unique, open_file
from components.ingestion.formats.nested import flat_batch, list_leaves, members_in, why_no_member
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, OddValue, RawRow, StoredTime
from transform.errors import InputError
from transform.files.tfrecords import HEAD_BYTES, TAIL_BYTES, Lengths, masked_checksum

#: A batch of a Parquet file has at most so many rows, and no more than have these bytes in the file, uncompressed.
PARQUET_BATCH_ROWS, PARQUET_BATCH_BYTES = 10_000, 32 << 20

#: Ticks per second, by the unit of an Arrow timestamp.
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def parquet_names(path: str) -> list[str]:
    """Returns the column names of a Parquet file."""
    with open_file(path) as stream, _damage_reported():
        return list(pq.ParquetFile(stream).schema_arrow.names)


def parquet_members(path: str, names: Sequence[str]) -> list[str]:
    """Returns which of some columns of a Parquet file are members of structs."""
    with open_file(path) as stream, _damage_reported():
        return list(members_in(pq.ParquetFile(stream).schema_arrow, names))


def read_parquet(path: str, columns: Sequence[str]) -> Iterator[RawRow]:
    """Reads a Parquet file; see `readers.read_rows`."""
    number = 0
    for batch in parquet_batches(path, columns):
        lists = [to_python(batch.column(name)) for name in columns]
        for values in zip(*lists, strict=True):
            number += 1
            yield RawRow(number, dict(zip(columns, values, strict=True)))


def parquet_batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a Parquet file, `_rows_at_once` rows at once; raises errors as `read_rows`."""
    with open_file(path) as stream, _damage_reported():
        if not stream.read(1):
            raise InputError(f"the file is empty ({path})")
        stream.seek(0)
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
        check_unique(schema.names, path)
        members = members_in(schema, columns)
        missing = [name for name in columns if name not in members and name not in schema.names]
        for rule in filter(None, (why_no_member(schema, name) for name in missing)):
            raise InputError(f"{rule} ({path})")
        if missing:
            check_columns(schema.names, missing, path, members=[name for name, _ in list_leaves(schema)])
        # Of a struct, only the members that are named are read.
        batches = file.iter_batches(_rows_at_once(file.metadata, columns), columns=list(columns))
        yield from (flat_batch(batch, columns, members) for batch in batches) if members else batches


def _rows_at_once(metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Returns the number of rows of a batch, given the mean bytes of a row in the row group with the longest rows.

    Rows are longer in memory than that where one value of a dictionary stands for many.
    """
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    read = [at for at, path in enumerate(paths) if any(path == name or path.startswith(f"{name}.") for name in columns)]
    longest = 1.0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        num_bytes = sum(group.column(at).total_uncompressed_size for at in read)
        longest = max(longest, num_bytes / max(group.num_rows, 1))
    return max(1, min(PARQUET_BATCH_ROWS, int(PARQUET_BATCH_BYTES / longest)))


@contextlib.contextmanager
def _damage_reported() -> Iterator[None]:
    """Raises ArrowInvalid for what else pyarrow raises for damaged bytes: UnicodeDecodeError, and a plain OSError.

    An error of the file itself has a number, or is of a class of the file's library.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(str(error)) from error
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            raise pa.ArrowInvalid(str(error)) from error
        raise


def to_python(column: pa.Array) -> list[Any]:
    """Returns a column's values; strings as bytes, since one that is not UTF-8 would fail the whole batch."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return to_python(column.dictionary_decode())
    if pa.types.is_string(kind):
        column = column.view(pa.binary())
    elif pa.types.is_large_string(kind):
        column = column.view(pa.large_binary())
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = iter(to_python(column.flatten()))
        lengths = column.value_lengths().to_pylist()
        return [None if length is None else list(itertools.islice(items, length)) for length in lengths]
    elif pa.types.is_timestamp(kind):
        pairs = zip(to_seconds(column).to_pylist(), time_texts(column).to_pylist(), strict=True)
        return [None if seconds is None else StoredTime(seconds, text) for seconds, text in pairs]
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):  # of one value: Python's dates end with the year 9999
        values = [_value(scalar) for scalar in column]
    return values


def _value(scalar: pa.Scalar) -> Any:
    """Returns a value; an `OddValue` if Python has none for it."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return OddValue(f"{scalar.type} {getattr(scalar, 'value', 'out of range')}")


def to_seconds(column: pa.Array) -> pa.Array:
    """Returns timestamps as seconds since 1970, float64."""
    ticks, per_second = column.cast(pa.int64()), TICKS_PER_SECOND[column.type.unit]
    seconds = pc.divide(ticks, per_second)  # integer division, so that the fraction keeps its precision
    rest = pc.subtract(ticks, pc.multiply(seconds, per_second))
    return pc.add(seconds.cast(pa.float64(), safe=False), pc.divide(rest.cast(pa.float64()), float(per_second)))


def time_texts(column: pa.Array) -> pa.Array:
    """Returns timestamps or dates as ISO 8601 texts: timestamps without fraction, with a Z if they are in UTC."""
    if not pa.types.is_timestamp(column.type):
        return column.cast(pa.date32(), safe=False).cast(pa.string())
    ticks = np.asarray(column.cast(pa.int64()).fill_null(0)) // TICKS_PER_SECOND[column.type.unit]
    texts = pa.array(ticks, mask=np.asarray(column.is_null())).cast(pa.timestamp("s")).cast(pa.string())
    return texts if column.type.tz is None else pc.binary_join_element_wise(texts, "Z", "")


def read_tfrecord(path: str, columns: Sequence[str], max_row_bytes: int) -> Iterator[RawRow]:
    """Reads a file of tf.Examples; see `readers.read_rows`."""
    for record in read_records(path, max_row_bytes):
        yield record if isinstance(record, RawRow) else example_row(record[0], record[1], columns)


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


def _example_value(features: Any, name: str) -> Any:
    feature = features.get(name)
    kind = None if feature is None else feature.WhichOneof("kind")
    if kind is None:
        return None
    values = getattr(feature, kind).value
    # Most have one value, and a container of Protocol Buffers is slow to iterate over.
    return (values[0],) if len(values) == 1 else tuple(values) or None
