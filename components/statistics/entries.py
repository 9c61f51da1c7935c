"""Finds the values of features in serialized tf.Examples in the layout that ingestion writes, for many rows at once.

The map `Features.feature` has one entry for each feature that has a value, sorted by name. An entry has one number, or
one or more texts (`components.examples.encoding`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.examples.encoding import BYTES_LIST, ENTRY, FEATURES, KEY, VALUE, VALUES, entry_prefix, varint

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: The bytes of a word, which are read and compared at once.
WORD_BYTES = 8

#: Each byte of a varint holds seven bits of the number; its highest bit is set if another byte follows.
VARINT_BITS, VARINT_MASK = 7, 0x7F

#: The bytes that the varint of a length may have: enough for lengths below 256 MB.
_LENGTH_BYTES = 4

#: Where the head of an entry has lengths: that of the entry, of the feature, of its list and of the value.
_LENGTH_PLACES = (1, -5, -3, -1)

#: The bytes of a name with which the entry of a number, of at most a word, is short.
_MAX_NAME_BYTES = 111

#: The texts of a row, which are looked for one after the other: 20 µs each, where tfx-bsl decodes a batch in 100 ms.
_MAX_TEXTS = 1000


class OtherLayoutError(Exception):
    """Examples are not in the layout that ingestion writes."""


def require_layout(holds: bool | np.bool_) -> None:
    """Raises OtherLayoutError unless a condition holds."""
    if not holds:
        raise OtherLayoutError


class Spans(NamedTuple):
    """Where the values of a feature are.

    Attributes:
      counts: The number of values of each row, int64 `[rows]`.
      begins: The place of each value's first byte, int64 `[values]`, row by row.
      ends: The place behind each value's last byte, int64 `[values]`.
    """

    counts: Ints
    begins: Ints
    ends: Ints


class Examples:
    """The bytes of serialized tf.Examples, one behind the other. A place is the number of a byte.

    Args:
      serialized: The examples.
      padding: How far behind the last example a place may be.

    Attributes:
      data: The bytes, and zeros.
      begins: The place of each example's first byte, int64 `[rows]`.
      ends: The place behind each example's last byte, int64 `[rows]`.
    """

    def __init__(self, serialized: Sequence[bytes], padding: int) -> None:
        lengths = np.fromiter(map(len, serialized), np.int64, len(serialized))
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        self.data = b"".join([*serialized, bytes(padding + WORD_BYTES)])
        self._octets = np.frombuffer(self.data, np.uint8)
        self._words = np.ndarray(len(self.data) - (WORD_BYTES - 1), "<u8", self.data, strides=(1,))

    def octets(self, places: Ints) -> npt.NDArray[np.uint8]:
        """Returns the byte at each place."""
        return self._octets[places]

    def words(self, places: Ints) -> Words:
        """Returns the eight bytes from each place on, as a little-endian number."""
        words: Words = self._words[places]
        return words

    def contents(self, places: Ints, tag: bytes) -> tuple[Ints, Ints]:
        """Returns where the contents of fields begin and end.

        Args:
          places: Where the fields begin.
          tag: The tag that each must have.

        Raises:
          OtherLayoutError: If a field has another tag, or 256 MB or more.
        """
        words = self.words(places)
        require_layout((words & np.uint64(0xFF) == tag[0]).all())
        return _contents(places, words)


def _contents(places: Ints, words: Words) -> tuple[Ints, Ints]:
    """Returns where the contents of fields begin and end, given the word at each place: a tag, then the length."""
    lengths = words >> np.uint64(8) & np.uint64(VARINT_MASK)
    begins = places + 2
    more = words >> np.uint64(15) & np.uint64(1)
    for place in range(1, _LENGTH_BYTES):
        if not more.any():
            break
        octets = words >> np.uint64(8 * (place + 1))
        lengths |= (octets & np.uint64(VARINT_MASK)) * more << np.uint64(VARINT_BITS * place)
        begins += more.view(np.int64)
        more &= octets >> np.uint64(VARINT_BITS)
    require_layout(not more.any())
    return begins, begins + lengths.view(np.int64)


class Entry:
    """How the entry of a feature begins.

    Its head, the bytes before the value, has four lengths. They are those of an empty value plus the value's bytes;
    the entry is short if each of them takes one byte. With a text of two bytes and the name `a`, the head is
    `0a [0b] 0a 01 61 12 [06] 0a [04] 0a [02]`, with the lengths in brackets.

    Args:
      name: The feature, of at most `_MAX_NAME_BYTES` bytes.
      kind: The tag of its list.

    Attributes:
      kind: The tag of its list.
      head_bytes: The bytes of a short entry's head.
    """

    def __init__(self, name: str, kind: bytes) -> None:
        self.kind = kind
        key = KEY + varint(len(name.encode())) + name.encode() + VALUE
        self._key_bytes, self._key_words = len(key), _read_words(key)
        head = entry_prefix(name, kind, len(VALUES) + 1) + VALUES + varint(0)
        self.head_bytes, self._head_words = len(head), _read_words(head)
        ones = bytearray(len(head))
        for place in _LENGTH_PLACES:
            ones[place] = 1
        self._one_words = [word for _, word, _ in _read_words(bytes(ones))]
        self._max_value_bytes = VARINT_MASK - head[_LENGTH_PLACES[0]]  # the entry's length is the largest one

    def short_values(self, examples: Examples, places: Ints) -> tuple[Bools, Ints, Ints]:
        """Returns whether short entries with one value begin at places, and where these values begin and end."""
        begins = places + self.head_bytes
        lengths = examples.octets(begins - 1).astype(np.uint64)
        is_short = lengths <= self._max_value_bytes
        for (place, word, mask), ones in zip(self._head_words, self._one_words, strict=True):
            expected = word + lengths * ones if ones else word
            is_short &= examples.words(places + place) & mask == expected
        return is_short, begins, begins + lengths.view(np.int64)

    def features(self, examples: Examples, places: Ints) -> tuple[Bools, Ints, Ints]:
        """Returns whether entries of any length begin at places; where their fields `value` begin, and the entries end.

        Raises:
          OtherLayoutError: If what begins at a place has 256 MB or more.
        """
        words = examples.words(places)
        begins, ends = _contents(places, words)
        is_entry = words & np.uint64(0xFF) == ENTRY[0]
        for place, word, mask in self._key_words:
            is_entry &= examples.words(begins + place) & mask == word
        return is_entry, begins + (self._key_bytes - len(VALUE)), ends


def has_entry(name: str) -> bool:
    """Whether `Entry` takes a feature's name."""
    return len(name.encode()) <= _MAX_NAME_BYTES


def _read_words(text: bytes) -> list[tuple[int, np.uint64, np.uint64]]:
    """Returns the words of a text: the place of each, its number, and the mask of the bytes that the text has of it."""
    words = []
    for place in range(0, len(text), WORD_BYTES):
        part = text[place : place + WORD_BYTES]
        mask = (1 << 8 * len(part)) - 1
        words.append((place, np.uint64(int.from_bytes(part, "little")), np.uint64(mask)))
    return words


def find_spans(examples: Examples, entries: Mapping[str, Entry]) -> dict[str, Spans]:
    """Finds the values of features.

    Args:
      examples: The examples, padded by `head_bytes` of the entries.
      entries: The entries of all features that an example may have, by name and sorted by it.

    Raises:
      OtherLayoutError: If an example has anything else, or is not in the layout that ingestion writes.
    """
    places, ends = examples.contents(examples.begins, FEATURES)
    require_layout(np.array_equal(ends, examples.ends))
    found = {}
    for name, entry in entries.items():
        found[name], places = _spans_of(examples, entry, places)
    require_layout(np.array_equal(places, examples.ends))
    return found


def _spans_of(examples: Examples, entry: Entry, places: Ints) -> tuple[Spans, Ints]:
    """Finds a feature's values, given where the next entry of each row begins; returns where the one after it does."""
    is_short, begins, ends = entry.short_values(examples, places)
    is_short &= ends <= examples.ends
    if is_short.all():
        return Spans(np.ones(len(ends), np.int64), begins, ends), ends
    single = _Values(0, np.flatnonzero(is_short), begins[is_short], ends[is_short])
    places = np.where(is_short, ends, places)
    others = np.flatnonzero(~is_short)
    is_entry, values, ends = entry.features(examples, places[others])
    is_entry &= places[others] < examples.ends[others]
    rows, values, ends = others[is_entry], values[is_entry], ends[is_entry]
    require_layout((ends <= examples.ends[rows]).all())
    places[rows] = ends
    for tag in (VALUE, entry.kind):
        values, value_ends = examples.contents(values, tag)
        require_layout(np.array_equal(value_ends, ends))
    require_layout(entry.kind == BYTES_LIST or not len(rows))  # a number's entry is short
    return _in_order([single, *_texts(examples, rows, values, ends)], len(places)), places


class _Values(NamedTuple):
    """The values that have the same number in their rows, from 0: the rows, and where the values begin and end."""

    number: int
    rows: Ints
    begins: Ints
    ends: Ints


def _texts(examples: Examples, rows: Ints, places: Ints, limits: Ints) -> Iterator[_Values]:
    """Yields the texts of lists, first those with number 0, given the rows and where each list begins and ends."""
    for number in range(_MAX_TEXTS):
        if not len(rows):
            return
        begins, ends = examples.contents(places, VALUES)
        require_layout((ends <= limits).all())
        yield _Values(number, rows, begins, ends)
        more = ends < limits
        rows, places, limits = rows[more], ends[more], limits[more]
    require_layout(not len(rows))


def _in_order(parts: Sequence[_Values], num_rows: int) -> Spans:
    """Puts all values into the order of the rows, and within a row of their numbers."""
    counts = np.bincount(np.concatenate([part.rows for part in parts]), minlength=num_rows)
    firsts = np.cumsum(counts) - counts
    begins, ends = np.empty((2, int(counts.sum())), np.int64)
    for part in parts:
        at = firsts[part.rows] + part.number
        begins[at], ends[at] = part.begins, part.ends
    return Spans(counts, begins, ends)
