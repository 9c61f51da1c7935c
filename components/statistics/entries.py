"""Reads the entries of serialized tf.Examples in the layout that ingestion writes, for many rows at once.

The map `Features.feature` has one entry per feature, sorted by name, and the numbers of a list are packed
(`components.ingestion.encoding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.ingestion.encoding import BYTES_LIST, ENTRY, FEATURES, KEY, VALUE, VALUES, entry_prefix, varint

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: The bytes that are compared at once.
_WORD_BYTES = 8

#: The largest number whose varint has one byte: a byte has seven bits of it.
_ONE_BYTE = 0x7F

#: The bytes that the varint of a length may have: enough for 256 MB.
_LENGTH_BYTES = 4

#: Where an entry's head has lengths: of the entry, the feature, its list and the content.
_LENGTHS = (1, -5, -3, -1)

#: The texts of a row, which are looked for one by one. With more, tfx-bsl is as quick.
_MAX_TEXTS = 1000


class OtherLayoutError(Exception):
    """Examples are not in the layout that ingestion writes."""


class Spans(NamedTuple):
    """Where the values of a feature are.

    Attributes:
      counts: The spans of each row, int64 `[rows]`: one for each of its texts, or one for all of its numbers.
      begins: The first byte of each span, int64 `[spans]`, row by row.
      ends: The byte behind each span, int64 `[spans]`.
    """

    counts: Ints
    begins: Ints
    ends: Ints


class Records:
    """The bytes of serialized tf.Examples, read at many places at once.

    Args:
      examples: Serialized tf.Examples.
      padding: How far behind the end of an example a place may be.

    Attributes:
      data: The examples, one behind the other, and zeros.
      begins: Where each example begins, int64 `[examples]`.
      ends: The place behind each example, int64 `[examples]`.
    """

    def __init__(self, examples: Sequence[bytes], padding: int) -> None:
        lengths = np.fromiter(map(len, examples), np.int64, len(examples))
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        self.data = b"".join([*examples, bytes(padding + _WORD_BYTES)])
        self._octets = np.frombuffer(self.data, np.uint8)
        self._words = np.ndarray(len(self.data) - 7, "<u8", self.data, strides=(1,))
        self._floats = np.ndarray(len(self.data) - 3, "<f4", self.data, strides=(1,))

    def octets(self, places: Ints) -> npt.NDArray[np.uint8]:
        """Returns the byte at each place."""
        return self._octets[places]

    def words(self, places: Ints) -> Words:
        """Returns the eight bytes from each place on, the first one lowest."""
        found: Words = self._words[places]
        return found

    def floats(self, places: Ints) -> npt.NDArray[np.float32]:
        """Returns the float32 at each place."""
        found: npt.NDArray[np.float32] = self._floats[places]
        return found

    def fields(self, places: Ints, tag: bytes) -> tuple[Ints, Ints]:
        """Returns where the contents of fields begin and end.

        Raises:
          OtherLayoutError: If a field has another tag, or 256 MB or more.
        """
        words = self.words(places)
        _require((words & np.uint64(0xFF) == tag[0]).all())
        return self.contents(places, words)

    def contents(self, places: Ints, words: Words) -> tuple[Ints, Ints]:
        """Does what `fields` does for tags of any kind, given the word at each place."""
        lengths = words >> np.uint64(8) & np.uint64(_ONE_BYTE)
        begins = places + 2
        more = words >> np.uint64(15) & np.uint64(1)
        for place in range(1, _LENGTH_BYTES):
            if not more.any():
                break
            octets = words >> np.uint64(8 * (place + 1))
            lengths |= (octets & np.uint64(_ONE_BYTE)) * more << np.uint64(7 * place)
            begins += more.view(np.int64)
            more &= octets >> np.uint64(7)
        _require(not more.any())
        return begins, begins + lengths.view(np.int64)


class Feature:
    """How a feature's entry begins.

    Before a content of `n` bytes, a text or packed numbers, an entry has a head, in which each of four lengths is
    larger by `n` than in that of an empty content, as long as they take a byte each. With a text of two bytes and the
    name `a`, the lengths in brackets, it is `0a [0b] 0a 01 61 12 [06] 0a [04] 0a [02]`.

    Args:
      name: The feature.
      kind: The tag of its list.

    Attributes:
      head_bytes: The bytes of the head.
    """

    def __init__(self, name: str, kind: bytes) -> None:
        self.name, self.kind = name, kind
        key = KEY + varint(len(name.encode())) + name.encode() + VALUE
        self._key_bytes, self._key_words = len(key), _words_of(key)
        head = entry_prefix(name, kind, len(VALUES) + 1) + VALUES + varint(0)
        self.head_bytes, self._head_words = len(head), _words_of(head)
        changed = bytearray(len(head))
        for place in _LENGTHS:
            changed[place] = 1
        self._changed_words = [word for _, word, _ in _words_of(bytes(changed))]
        self._longest = _ONE_BYTE - (len(head) - 2)  # the entry's length is the largest

    def after_heads(self, records: Records, entries: Ints) -> tuple[Bools, Ints, Ints]:
        """Returns whether each entry is of this feature, with one short content; where that begins and ends."""
        begins = entries + self.head_bytes
        lengths = records.octets(begins - 1)
        found = lengths <= self._longest
        lengths = lengths.astype(np.uint64)
        for (place, word, mask), changed in zip(self._head_words, self._changed_words, strict=True):
            expected = word + lengths * changed if changed else word
            found &= records.words(entries + place) & mask == expected
        return found, begins, begins + lengths.view(np.int64)

    def after_keys(self, records: Records, contents: Ints) -> tuple[Bools, Ints]:
        """Returns whether the content of each entry is of this feature, and where the field of its values is."""
        found = np.ones(len(contents), bool)
        for place, word, mask in self._key_words:
            found &= records.words(contents + place) & mask == word
        return found, contents + (self._key_bytes - 1)


def _words_of(text: bytes) -> list[tuple[int, np.uint64, np.uint64]]:
    """Returns the words of a text: where each begins, the word, and the mask of the bytes that the text has of it."""
    words = []
    for place in range(0, len(text), _WORD_BYTES):
        part = text[place : place + _WORD_BYTES]
        mask = (1 << 8 * len(part)) - 1
        words.append((place, np.uint64(int.from_bytes(part, "little")), np.uint64(mask)))
    return words


class EntryReader:
    """Finds the values of features in examples.

    Args:
      examples: Serialized tf.Examples.
      features: All features that an example may have.

    Raises:
      OtherLayoutError: If an example is not in the layout that ingestion writes.
    """

    def __init__(self, examples: Sequence[bytes], features: Sequence[Feature]) -> None:
        self.records = Records(examples, max((feature.head_bytes for feature in features), default=0))
        #: Where the first entry that is not yet found begins in each example.
        self._entries, ends = self.records.fields(self.records.begins, FEATURES)
        _require(np.array_equal(ends, self.records.ends))

    def spans_of(self, feature: Feature) -> Spans:
        """Returns where a feature's values are. It must be called for all features, in the order of their names.

        Raises:
          OtherLayoutError: If an entry of the feature is not in the layout that ingestion writes.
        """
        short, begins, ends = feature.after_heads(self.records, self._entries)
        short &= ends <= self.records.ends
        if short.all():
            self._entries = ends
            return Spans(np.ones(len(ends), np.int64), begins, ends)
        self._entries[short] = ends[short]
        others = np.flatnonzero(~short)
        of_others = self._other_spans(feature, others)
        counts = short.astype(np.int64)
        counts[others] = of_others.counts
        return Spans(
            counts,
            np.sort(np.concatenate([begins[short], of_others.begins])),
            np.sort(np.concatenate([ends[short], of_others.ends])),
        )

    def _other_spans(self, feature: Feature, rows: Ints) -> Spans:
        """Returns the spans, in any order, of rows that have another number of contents than one, or a long one."""
        entries, limits = self._entries[rows], self.records.ends[rows]
        words = self.records.words(entries)
        contents, ends = self.records.contents(entries, words)
        found, fields = feature.after_keys(self.records, contents)
        found &= (entries < limits) & (words & np.uint64(0xFF) == ENTRY[0])
        fields, ends = fields[found], ends[found]
        _require((ends <= limits[found]).all())
        self._entries[rows[found]] = ends
        for tag in (VALUE, feature.kind):
            fields, field_ends = self.records.fields(fields, tag)
            _require(np.array_equal(field_ends, ends))
        of_found = self._contents_of_lists(fields, ends, _MAX_TEXTS if feature.kind == BYTES_LIST else 1)
        counts = np.zeros(len(rows), np.int64)
        counts[found] = of_found.counts
        return of_found._replace(counts=counts)

    def _contents_of_lists(self, fields: Ints, limits: Ints, largest_number: int) -> Spans:
        """Returns the spans, in any order, of lists, given where each list's content begins and ends."""
        number, rows = len(fields), np.arange(len(fields))
        found = [(rows[:0], rows[:0], rows[:0])]
        while len(rows):
            _require(len(found) <= largest_number)
            begins, ends = self.records.fields(fields, VALUES)
            _require((ends <= limits).all())
            found.append((rows, begins, ends))
            more = ends < limits
            rows, fields, limits = rows[more], ends[more], limits[more]
        of_rows, begins, ends = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Spans(np.bincount(of_rows, minlength=number), begins, ends)

    def finish(self) -> None:
        """Verifies that no example has anything else.

        Raises:
          OtherLayoutError: If one has.
        """
        _require(np.array_equal(self._entries, self.records.ends))


def _require(holds: bool | np.bool_) -> None:
    if not holds:
        raise OtherLayoutError
