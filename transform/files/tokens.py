"""A vocabulary's tokens in an Arrow array: a list of ten million texts takes three times its memory and more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft

from transform.feature_spec import vocabulary_file_name

#: Tokens that are converted to Python's `bytes` at once.
_BLOCK = 1 << 16

#: The number of old tokens in Arrow's hash table at once; the table takes some 100 MB for a million tokens. All new
#: tokens are looked up once in the table of each such block.
_OLD_AT_ONCE = 1 << 21

_NEWLINE = ord("\n")


class Tokens(Sequence[bytes]):
    """Tokens, in an order; equal to any sequence of the same tokens.

    Args:
      token_bytes: The tokens, back to back, uint8 `[any]`.
      ends: Where each token ends, int64 `[tokens]`.

    Attributes:
      token_bytes: The argument, up to the last token's end.
      ends: The argument.
      array: The tokens, large_binary `[tokens]`; it shares the arguments' memory.
    """

    def __init__(self, token_bytes: np.ndarray, ends: np.ndarray) -> None:
        offsets = np.concatenate([np.zeros(1, np.int64), ends])
        if offsets[-1] > token_bytes.size or np.any(np.diff(offsets) < 0):
            raise ValueError("each token must end after the one before it, and within the bytes")
        self.token_bytes, self.ends = token_bytes[: offsets[-1]], ends
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.token_bytes)]
        self.array = pa.Array.from_buffers(pa.large_binary(), len(ends), buffers)

    @classmethod
    def of(cls, tokens: Iterable[bytes]) -> Tokens:
        """Packs tokens; returns `Tokens` as they are."""
        if isinstance(tokens, Tokens):
            return tokens
        tokens = list(tokens)
        ends = np.cumsum([len(token) for token in tokens], dtype=np.int64)
        return cls(np.frombuffer(b"".join(tokens), np.uint8), ends)

    @classmethod
    def read_lines(cls, path: str) -> Tokens:
        """Reads a text file, each of whose lines is a token; a newline at the end is no further token."""
        with tf.io.gfile.GFile(path, "rb") as file:
            content = np.frombuffer(file.read(), np.uint8)
        (newlines,) = np.nonzero(content == _NEWLINE)
        ends = newlines - np.arange(newlines.size)
        token_bytes = content[content != _NEWLINE]
        if token_bytes.size > (ends[-1] if ends.size else 0):  # the last line has no newline
            ends = np.append(ends, token_bytes.size)
        return cls(token_bytes, ends)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        found: bytes | list[bytes] = (
            self.array[index].to_pylist() if isinstance(index, slice) else self.array[index].as_py()
        )
        return found

    def __iter__(self) -> Iterator[bytes]:
        for begin in range(0, len(self), _BLOCK):
            yield from self.array.slice(begin, _BLOCK).to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return bool(self.array.equals(Tokens.of(other).array))

    __hash__ = None  # type: ignore[assignment]


def read_vocabulary(tft_output: tft.TFTransformOutput, name: str) -> Tokens:
    """Reads a vocabulary that tf.Transform wrote as text, as it does by default."""
    path = tft_output.vocabulary_file_by_name(vocabulary_file_name(name))
    if path is None:
        raise ValueError(
            f"the transform graph must have a vocabulary named `{name}` ({tft_output.transform_savedmodel_dir})"
        )
    return Tokens.read_lines(path)


def rows_of(old: Tokens, new: Tokens) -> np.ndarray:
    """Finds the old row of each new token.

    Args:
      old: The old tokens, each once.
      new: The new tokens.

    Returns:
      int64 `[new]`; -1 for a token that is not among the old ones.
    """
    found = np.full(len(new), -1, np.int64)
    for begin in range(0, len(old), _OLD_AT_ONCE):
        places = pc.index_in(new.array, value_set=old.array.slice(begin, _OLD_AT_ONCE))
        found[places.is_valid().to_numpy(zero_copy_only=False)] = begin + places.drop_null().to_numpy()
    return found
