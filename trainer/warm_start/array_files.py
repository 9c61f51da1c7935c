"""Arrays in .npz files, written and read block by block: a file of several GB is never in memory as a whole.

The files are those of `np.savez`, which NumPy reads. They are written without seeks, which remote filesystems lack.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, Protocol

import numpy as np
import tensorflow as tf

#: The bytes of a block, unless a single row has more.
_BLOCK_BYTES = 1 << 23


#: What reading a damaged file raises: RuntimeError for a changed byte by which an array seems to be encrypted.
_DAMAGED = (
    tf.errors.OpError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError, KeyError,
)  # fmt: skip


class ArrayFileError(ValueError):
    """An array file cannot be read; the message says why."""


class Rows(Protocol):
    """An array that is read block by block; a block consists of consecutive rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; an array without a dimension is read as one block."""

    @property
    def dtype(self) -> np.dtype:
        """Its values' type."""

    def blocks(self) -> Iterator[np.ndarray]:
        """The blocks, in their order; together they are the array."""


def read(rows: Rows) -> np.ndarray:
    """Returns the whole array."""
    if not rows.shape:
        (whole,) = rows.blocks()
        return whole
    array, filled = np.empty(rows.shape, rows.dtype), 0
    for block in rows.blocks():
        array[filled : filled + len(block)] = block
        filled += len(block)
    return array


def block_rows(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """The number of rows of a block."""
    return max(1, _BLOCK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize))


@dataclasses.dataclass(frozen=True)
class InMemory:
    """An array in memory."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        if not self.shape:
            yield self.array
            return
        number = block_rows(self.shape, self.dtype)
        for at in range(0, self.shape[0], number):
            yield self.array[at : at + number]


@dataclasses.dataclass(frozen=True)
class OfVariable:
    """A variable's values, as they are when they are read."""

    variable: tf.Variable

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.variable.shape)

    @property
    def dtype(self) -> np.dtype:
        dtype: np.dtype = np.dtype(self.variable.dtype.as_numpy_dtype)
        return dtype

    def blocks(self) -> Iterator[np.ndarray]:
        if not self.shape:
            yield self.variable.numpy()
            return
        number = block_rows(self.shape, self.dtype)
        for at in range(0, self.shape[0], number):  # gathers, since a slice would copy the whole variable first
            yield tf.gather(self.variable, tf.range(at, min(at + number, self.shape[0]))).numpy()


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array in a file: its name, its shape, and the type of its values."""

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """As in `Rows`; raises ArrayFileError if the file is damaged, in the last block if its checksum is wrong."""
        number = block_rows(self.shape, self.dtype)
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        with _opened(self.path) as archive, archive.open(f"{self.name}.npy") as member:
            _read_header(member)
            left = self.shape[0] if self.shape else 1
            while left:
                rows = min(number, left)
                block = np.frombuffer(member.read(rows * row_bytes), self.dtype)
                left -= rows
                yield block.reshape((rows, *self.shape[1:]) if self.shape else ())


def stored_arrays(path: str) -> dict[str, Stored]:
    """Returns the arrays of a file, by name, without their values; raises ArrayFileError if it is damaged."""
    arrays = {}
    with _opened(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as file:
                arrays[name] = Stored(path, name, *_read_header(file))
    return arrays


def write_arrays(path: str, arrays: Mapping[str, Rows]) -> None:
    """Writes a file, block by block, from its start to its end."""
    with tf.io.gfile.GFile(path, "wb") as file, zipfile.ZipFile(_Appended(file), "w", zipfile.ZIP_STORED) as archive:
        for name, rows in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                descr = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": rows.shape}
                np.lib.format.write_array_header_1_0(member, header)
                for block in rows.blocks():
                    member.write(block.tobytes())


class _Appended(io.RawIOBase):
    """An output file that only appends: it has no `tell` and no `seek`.

    To such a file, `zipfile` writes the size and the checksum of an array after the array's data, so that it never
    has to go back in the file.
    """

    def __init__(self, file: tf.io.gfile.GFile) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._file.write(bytes(content))
        return len(content)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with tf.io.gfile.GFile(path, "rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except _DAMAGED as error:
        raise ArrayFileError(f"{path} ({type(error).__name__})") from error


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Reads an array's shape and type, up to its values."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"an array must be of NumPy's format 1.0. Received: {version}")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.hasobject or (is_fortran and len(shape) > 1):
        raise ValueError("an array must consist of numbers, row by row")
    return shape, dtype
