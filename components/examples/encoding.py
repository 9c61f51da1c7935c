"""Serializes rows as tf.Examples, column by column.

An example has one entry of the map `Features.feature` for each feature that has a value, sorted by name. The bytes are
those that `tf.train.Example.SerializeToString(deterministic=True)` gives, except that the Python runtime of Protocol
Buffers puts a name behind those that begin with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: The tags of the fields of the messages Example, Features, its map's entries, Feature and the lists.
FEATURES = ENTRY = KEY = VALUES = b"\x0a"
VALUE = b"\x12"
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\x0a", b"\x12", b"\x1a"

_INT64_BITS = 64


def varint(number: int) -> bytes:
    """Returns a number as the base-128 varint of Protocol Buffers; negative ones as two's complement of 64 bits."""
    number &= (1 << _INT64_BITS) - 1
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _with_prefixes(contents: pa.Array, prefix_of_length: Callable[[int], bytes]) -> pa.Array:
    """Returns each content after a prefix that depends on its length only; null stays null."""
    lengths = pc.binary_length(contents).dictionary_encode()
    prefixes = pa.array([prefix_of_length(length) for length in lengths.dictionary.to_pylist()], pa.binary())
    return pc.binary_join_element_wise(prefixes.take(lengths.indices), contents, b"")


def entry_prefix(name: str, kind: bytes, length: int) -> bytes:
    """Returns what stands before the content of a list in a feature's entry.

    Args:
      name: The feature.
      kind: The list's tag.
      length: The content's bytes.
    """
    in_list = kind + varint(length)
    feature = VALUE + varint(len(in_list) + length) + in_list
    in_entry = _field(KEY, name.encode()) + feature
    return ENTRY + varint(len(in_entry) + length) + in_entry


def _entries(name: str, kind: bytes, contents: pa.Array) -> pa.Array:
    return _with_prefixes(contents, lambda length: entry_prefix(name, kind, length))


def text_entries(name: str, texts: pa.Array) -> pa.Array:
    """Returns the map entries, as bytes, of a feature with one text in each row; null where the text is null."""
    items = _with_prefixes(texts.cast(pa.binary()), lambda length: VALUES + varint(length))
    return _entries(name, BYTES_LIST, items)


def list_entries(name: str, lists: pa.Array) -> pa.Array:
    """Returns the map entries of a feature with a list of texts in each row; null where the list is null."""
    items = _with_prefixes(lists.flatten().cast(pa.binary()), lambda length: VALUES + varint(length))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    contents = pc.binary_join(pa.ListArray.from_arrays(offsets, items, mask=lists.is_null()), b"")
    return _entries(name, BYTES_LIST, contents)


def float_entries(name: str, numbers: pa.Array) -> pa.Array:
    """Returns the map entries of a feature with one float32 in each row; null where the number is null."""
    packed = np.asarray(pc.fill_null(numbers, 0.0), np.float64).astype("<f4").view(np.uint8).reshape(-1, 4)
    prefix = entry_prefix(name, FLOAT_LIST, 6) + VALUES + varint(4)
    return _fixed(prefix, packed, numbers)


def _fixed(prefix: bytes, contents: npt.NDArray[np.uint8], values: pa.Array) -> pa.Array:
    """Returns contents of one length after a prefix; null where the value is null."""
    number, length = len(contents), len(prefix) + contents.shape[1]
    rows = np.empty((number, length), np.uint8)
    rows[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    rows[:, len(prefix) :] = contents
    offsets = np.arange(0, (number + 1) * length, length, dtype=np.int32)[: number + 1]
    is_valid = np.packbits(np.asarray(values.is_valid()), bitorder="little") if values.null_count else None
    validity = None if is_valid is None else pa.py_buffer(is_valid)
    return pa.Array.from_buffers(pa.binary(), number, [validity, pa.py_buffer(offsets), pa.py_buffer(rows)])


def int_entries(name: str, numbers: npt.NDArray[Any]) -> pa.Array:
    """Returns the map entries of a feature with one int64 in each row."""
    distinct = pa.array(numbers, pa.int64()).dictionary_encode()
    if len(distinct.dictionary) <= max(1000, len(numbers) // 10):
        values = distinct.dictionary.to_pylist()
        packed = [_field(VALUES, varint(number)) for number in values]
        entries = [entry_prefix(name, INT64_LIST, len(content)) + content for content in packed]
        return pa.array(entries, pa.binary()).take(distinct.indices)
    return _entries(name, INT64_LIST, _with_prefixes(_varints(numbers), lambda length: VALUES + varint(length)))


def int_list_entries(name: str, lengths: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> pa.Array:
    """Returns the map entries of a feature with a list of int64 in each row; a row with an empty list has one, too.

    Args:
      name: The feature.
      lengths: How many numbers each row has, `[rows]`.
      numbers: The numbers, row by row.
    """
    encoded = _varints(numbers)
    places = np.concatenate([[0], np.cumsum(lengths)])
    offsets = pa.py_buffer(np.frombuffer(encoded.buffers()[1], np.int32)[places])
    packed = pa.Array.from_buffers(pa.binary(), len(lengths), [None, offsets, encoded.buffers()[2]])
    items = _with_prefixes(packed, lambda length: VALUES + varint(length) if length else b"")
    return _entries(name, INT64_LIST, items)


def _varints(numbers: npt.NDArray[Any]) -> pa.Array:
    """Returns each int64 as a varint."""
    bits = numbers.astype(np.int64).view(np.uint64)
    groups = np.ones(len(bits), np.int64)
    for shift in range(7, _INT64_BITS, 7):
        groups += bits >> np.uint64(shift) > 0
    width = int(groups.max(initial=1))
    at = np.arange(width)
    shifts = (7 * at).astype(np.uint64)
    encoded = (bits[:, np.newaxis] >> shifts) & np.uint64(0x7F)
    encoded |= np.where(at < groups[:, np.newaxis] - 1, np.uint64(0x80), np.uint64(0))
    offsets = np.concatenate([[0], np.cumsum(groups)]).astype(np.int32)
    data = encoded.astype(np.uint8)[at < groups[:, np.newaxis]]
    return pa.Array.from_buffers(pa.binary(), len(bits), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def joined(pieces: Sequence[pa.Array]) -> pa.Array:
    """Joins each row's pieces; a null piece adds nothing."""
    return pc.binary_join_element_wise(
        *[p.cast(pa.large_binary()) for p in pieces],
        pa.scalar(b"", pa.large_binary()),
        null_handling="replace",
        null_replacement="",
    )


def examples(entries: Sequence[pa.Array]) -> pa.Array:
    """Returns serialized tf.Examples, large_binary.

    Args:
      entries: The entries of each row, in the order of the features' names.
    """
    features = joined(entries)
    lengths = pc.binary_length(features).dictionary_encode()
    prefixes = pa.array([FEATURES + varint(n) for n in lengths.dictionary.to_pylist()], pa.large_binary())
    return pc.binary_join_element_wise(prefixes.take(lengths.indices), features, pa.scalar(b"", pa.large_binary()))
