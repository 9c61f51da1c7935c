"""A vocabulary's tokens in two arrays: a list of ten million texts takes three times their memory and more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import tensorflow as tf

#: Bytes of a file, and tokens, that are read at once.
_FILE_BLOCK, _BLOCK = 1 << 24, 1 << 19

#: A word is the part of a token that is hashed and compared at once.
_WORD = 8
_NEWLINE = ord("\n")
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], np.uint64)


class Tokens(Sequence[bytes]):
    """Tokens, in an order; equal to any sequence of the same tokens.

    Args:
      token_bytes: The tokens, back to back, uint8 `[any]`.
      ends: Where each token ends, int64 `[tokens]`.

    Attributes:
      ends: The argument.
    """

    def __init__(self, token_bytes: np.ndarray, ends: np.ndarray) -> None:
        size = int(ends[-1]) if ends.size else 0
        if size > token_bytes.size or np.any(np.diff(ends, prepend=0) < 0):
            raise ValueError("each token must end after the one before it, and within the bytes")
        if token_bytes.size < size + _WORD:  # so that a word can be read from each byte of a token on
            token_bytes = np.concatenate([token_bytes[:size], np.zeros(_WORD, np.uint8)])
        self.ends = ends
        self._padded, self._size = token_bytes, size
        # A word from each byte on. On a processor of the other byte order, the hashes are the same.
        self._words = np.ndarray((size + 1,), np.dtype("<u8"), token_bytes, strides=(1,))

    @classmethod
    def of(cls, tokens: Iterable[bytes]) -> Tokens:
        """Packs tokens; returns `Tokens` as they are."""
        if isinstance(tokens, Tokens):
            return tokens
        tokens = list(tokens)
        ends = np.cumsum([len(token) for token in tokens], dtype=np.int64)
        return cls(np.frombuffer(b"".join(tokens), np.uint8), ends)

    @classmethod
    def of_lines(cls, path: str) -> Tokens:
        """Reads a text file, each of whose lines is a token; a newline at the end is no further token."""
        size = tf.io.gfile.stat(path).length
        token_bytes, ends, filled = np.zeros(size + _WORD, np.uint8), [], 0
        with tf.io.gfile.GFile(path, "rb") as file:
            while block := file.read(_FILE_BLOCK):
                content = np.frombuffer(block, np.uint8)
                is_end = content == _NEWLINE
                (at,) = np.nonzero(is_end)
                ends.append(filled + at - np.arange(at.size))
                part = content[~is_end]
                token_bytes[filled : filled + part.size] = part
                filled += part.size
        found = np.concatenate([*ends, np.zeros(0, np.int64)])
        if filled > (found[-1] if found.size else 0):
            found = np.append(found, filled)
        return cls(token_bytes, found)

    @property
    def token_bytes(self) -> np.ndarray:
        """The tokens, back to back, uint8 `[any]`."""
        return self._padded[: self._size]

    def __len__(self) -> int:
        return int(self.ends.size)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        start = self.ends[row - 1] if row else 0
        return self._padded[start : self.ends[row]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self), _BLOCK):
            start, ends = int(self.ends[at - 1]) if at else 0, self.ends[at : at + _BLOCK].tolist()
            content, first = self._padded[start : ends[-1]].tobytes(), start
            for end in ends:
                yield content[start - first : end - first]
                start = end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def hashes(self, rows: slice) -> np.ndarray:
        """Hashes of the tokens of some consecutive rows, uint64 `[rows]`: equal for equal tokens."""
        starts, lengths = self._places(np.arange(*rows.indices(len(self))))
        hashes = lengths.astype(np.uint64)
        for _, active, words in self._of_words(starts, lengths):
            hashes[active] = mixed(hashes[active] ^ words)
        return hashes

    def equal(self, rows: np.ndarray, other: Tokens, other_rows: np.ndarray) -> np.ndarray:
        """Whether the tokens of some rows are those of as many rows of other tokens, bool `[rows]`."""
        (starts, lengths), (other_starts, other_lengths) = self._places(rows), other._places(other_rows)
        is_equal: np.ndarray = lengths == other_lengths
        lengths = np.where(is_equal, lengths, 0)
        for at, active, words in self._of_words(starts, lengths):
            rest = lengths[active] - at
            is_equal[active] &= words == _masked(other._words[other_starts[active] + at], rest)
        return is_equal

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the rows' tokens start, and how long they are."""
        starts = np.where(rows > 0, self.ends[rows - 1], 0) if len(self) else rows
        return starts, self.ends[rows] - starts

    def _of_words(self, starts: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields, for each word's place, which of the tokens are so long, and their words, uint64."""
        for at in range(0, int(lengths.max(initial=0)), _WORD):
            (active,) = np.nonzero(lengths > at)
            yield at, active, _masked(self._words[starts[active] + at], lengths[active] - at)


def mixed(values: np.ndarray) -> np.ndarray:
    """A one-to-one function of uint64 values, whose results look random."""
    values = (values ^ (values >> np.uint64(32))) * _FACTORS[0]
    values = (values ^ (values >> np.uint64(29))) * _FACTORS[1]
    values ^= values >> np.uint64(32)
    return values


def _masked(words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Words without the bytes behind their tokens, which have `lengths` bytes left; at least one."""
    behind = np.maximum(_WORD - lengths, 0).astype(np.uint64) * np.uint64(8)
    masked: np.ndarray = words & (np.uint64(0xFFFFFFFFFFFFFFFF) >> behind)
    return masked


def rows_of(old: Tokens, new: Tokens) -> np.ndarray:
    """Finds the old row of each new token, by sorted hashes; tokens with equal hashes are compared byte by byte.

    Args:
      old: The old tokens.
      new: The new tokens.

    Returns:
      int64 `[new]`: the last old row with the same token; -1 for a token that is not among the old ones.
    """
    if not len(old):
        return np.full(len(new), -1, np.int64)
    hashes = np.empty(len(old), np.uint64)
    for at in range(0, len(old), _BLOCK):
        hashes[at : at + _BLOCK] = old.hashes(slice(at, at + _BLOCK))
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    found = np.full(len(new), -1, np.int64)
    for at in range(0, len(new), _BLOCK):
        wanted = new.hashes(slice(at, at + _BLOCK))
        by_hash = np.argsort(wanted)  # ascending, so that the search reads the old hashes in their order
        wanted = wanted[by_hash]
        place = np.searchsorted(hashes, wanted, side="right") - 1
        while (candidates := np.flatnonzero((place >= 0) & (hashes[place] == wanted))).size:
            rows, of_new = order[place[candidates]], by_hash[candidates]
            is_same = old.equal(rows, new, at + of_new)
            found[at + of_new[is_same]] = rows[is_same]
            # Of another token, the next lower one of the same hash is compared.
            others = candidates[~is_same]
            wanted, place, by_hash = wanted[others], place[others] - 1, by_hash[others]
    return found
