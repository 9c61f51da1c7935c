"""Reads TFRecord files without TensorFlow, and those with gzip in a third of TensorFlow's time."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, cast

from isal import igzip, isal_zlib

from transform.errors import InputError

#: A record's header: the length of its data and the checksum of that length. The data and its checksum follow.
_HEAD = struct.Struct("<QI")
_CHECKSUM_BYTES = 4

#: The bytes of a file, decompressed, that are held at once, beside the records of a batch.
_BLOCK_BYTES = 1 << 18

#: The records of a batch if the caller takes them one by one.
_BATCH_SIZE = 256

#: isal's stubs declare its error as an instance.
_DAMAGED = (OSError, EOFError, cast("type[Exception]", isal_zlib.error))


def _open(path: str) -> IO[bytes]:
    return open(path, "rb")


def read_records(path: str) -> Iterator[bytes]:
    """Yields a file's records; the rest is as in `read_batches`."""
    return itertools.chain.from_iterable(read_batches([path], _BATCH_SIZE))


def read_batches(
    paths: Iterable[str], size: int, open_file: Callable[[str], IO[bytes]] = _open
) -> Iterator[list[bytes]]:
    """Reads the records of files, one file after the other.

    The checksums of the records are not verified, but that of gzip is.

    Args:
      paths: The files; those whose names end in `.gz` are decompressed.
      size: The records of a batch. It may have records of two files, and the last one may be smaller.
      open_file: Opens a file for reading bytes.

    Yields:
      Batches of records.

    Raises:
      InputError: If a file is missing, damaged or ends within a record.
    """
    batch: list[bytes] = []
    for path in paths:
        try:
            for records in _blocks(path, open_file):
                batch += records
                while len(batch) >= size:
                    yield batch[:size]
                    batch = batch[size:]
        except _DAMAGED as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"a TFRecord file must be readable. Received: {reason} ({path})") from error
    if batch:
        yield batch


def _blocks(path: str, open_file: Callable[[str], IO[bytes]]) -> Iterator[list[bytes]]:
    """Yields the records that end within each block of a file."""
    rest = b""
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        if path.endswith(".gz"):
            file = stack.enter_context(igzip.open(file))  # type: ignore[no-untyped-call]
        while block := file.read(_BLOCK_BYTES):
            rest += block
            records, start = _records(rest)
            rest = rest[start:]
            yield records
    if rest:
        raise InputError(f"a TFRecord file must end with a whole record ({path})")


def _records(block: bytes) -> tuple[list[bytes], int]:
    """Returns the records that a block has whole, and where the next one begins."""
    records = []
    start = 0
    while start + _HEAD.size <= len(block):
        size, _ = _HEAD.unpack_from(block, start)
        end = start + _HEAD.size + size + _CHECKSUM_BYTES
        if end > len(block):
            break
        records.append(block[start + _HEAD.size : end - _CHECKSUM_BYTES])
        start = end
    return records, start
