"""Values of Arrow's arrays as columns of raw values, and as Python values."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.blocks import FastColumn
from components.ingestion.formats.raw_rows import OddValue, StoredTime

#: Ticks per second, by the unit of an Arrow timestamp.
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def arrow_column(column: pa.Array) -> FastColumn:
    """Returns a column of texts, numbers or lists; values of another type need the fallback."""
    kind = column.type
    no_fallback = np.zeros(len(column), bool)
    if pa.types.is_dictionary(kind):
        return arrow_column(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        is_large = pa.types.is_large_string(kind)
        return FastColumn(*checked_texts(column.view(pa.large_binary() if is_large else pa.binary())))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return FastColumn(*checked_texts(column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items, fallback_items = arrow_column(column.flatten())
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


def checked_texts(values: pa.Array) -> tuple[pa.Array, Any]:
    """Returns binary values as texts, and marks those that are not UTF-8."""
    fallback = np.zeros(len(values), bool)
    try:
        return values.cast(pa.string()), fallback
    except pa.ArrowInvalid:
        items = values.to_numpy(zero_copy_only=False).tolist()
        fallback = np.array([item is not None and not is_utf_8(item) for item in items])
        return pa.array([None if o else v for v, o in zip(items, fallback, strict=True)], pa.string()), fallback


def is_utf_8(text: str | bytes) -> bool:
    """Returns whether bytes are a text in UTF-8, or a text has bytes in it."""
    try:
        text.decode() if isinstance(text, bytes) else text.encode()
    except UnicodeError:
        return False
    return True


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
