"""The TFRecord format, without TensorFlow: reads files, plain and with gzip."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, cast

import google_crc32c

from transform.errors import InputError
from transform.files.gzip_files import GZIP_ERRORS, DecompressedFile

#: The bytes before a record, its length and the length's checksum; those after it, its checksum.
HEAD_BYTES, TAIL_BYTES = 12, 4

#: At most so many different lengths of records are remembered.
_MAX_LENGTHS = 10_000

#: The bytes of a file, decompressed, that are read at once.
_BLOCK_BYTES = 1 << 18

#: A batch ends with the block that brings it to so many bytes: 4,096 records have as many if they are of 8 KB.
_BATCH_BYTES = 1 << 25

#: The records of a batch if the caller takes them one by one.
_BATCH_SIZE = 256

#: What the TFRecord format adds to a rotated checksum.
MASK_DELTA = 0xA282EAD8


def masked_checksum(data: bytes) -> bytes:
    """Returns the checksum of the TFRecord format, 4 bytes: CRC-32C, rotated right by 15 bits, plus a constant."""
    return masked(google_crc32c.value(data))


def masked(checksum: int) -> bytes:
    """Returns a CRC-32C as `masked_checksum` does."""
    return ((((checksum >> 15) | (checksum << 17)) + MASK_DELTA) & 0xFFFFFFFF).to_bytes(4, "little")


class Lengths(dict[bytes, int]):
    """The lengths of records by their heads, verified once: a file's records have few different lengths.

    A head that is damaged raises EOFError.
    """

    def __missing__(self, head: bytes) -> int:
        if len(head) < HEAD_BYTES or head[8:] != masked_checksum(head[:8]):
            raise EOFError("the length of a record is damaged")
        if len(self) >= _MAX_LENGTHS:
            self.clear()
        self[head] = int.from_bytes(head[:8], "little")
        return self[head]


def _open(path: str) -> IO[bytes]:
    return open(path, "rb")


def read_records(path: str, open_file: Callable[[str], IO[bytes]] = _open) -> Iterator[bytes]:
    """Yields a file's records one by one; arguments and errors are those of `read_batches`, for one file."""
    return itertools.chain.from_iterable(read_batches([path], _BATCH_SIZE, open_file))


def read_batches(
    paths: Iterable[str], size: int, open_file: Callable[[str], IO[bytes]] = _open
) -> Iterator[list[bytes]]:
    """Reads the records of files, one file after the other.

    The checksums of lengths are verified, and that of gzip; those of the records' data are not.

    Args:
      paths: The files; those whose names end in `.gz` are decompressed.
      size: The records of a batch. A batch can hold the end of one file and the start of the next. The last batch may
        be smaller, and one that reaches 32 MB ends there.
      open_file: Opens a file for reading bytes.

    Yields:
      Batches of records.

    Raises:
      InputError: If a file is missing, damaged or ends within a record.
    """
    batch: list[bytes] = []
    num_bytes = 0
    for path in paths:
        try:
            for records in _blocks(path, open_file):
                batch += records
                whole = len(batch) - len(batch) % size
                for begin in range(0, whole, size):
                    yield batch[begin : begin + size]
                del batch[:whole]
                num_bytes = sum(map(len, batch)) if whole else num_bytes + sum(map(len, records))
                if num_bytes >= _BATCH_BYTES:
                    yield batch
                    batch, num_bytes = [], 0
        except (OSError, *GZIP_ERRORS) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"a TFRecord file must be readable. Received: {reason} ({path})") from error
    if batch:
        yield batch


def _blocks(path: str, open_file: Callable[[str], IO[bytes]]) -> Iterator[list[bytes]]:
    """Yields the records that end within each block of a file."""
    lengths = Lengths()
    rest = b""
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        if path.endswith(".gz"):
            file = cast("IO[bytes]", stack.enter_context(DecompressedFile(file)))
        # A record that is longer than a block is read by blocks that double: each of its bytes is copied twice at most.
        while block := file.read(max(_BLOCK_BYTES, len(rest))):
            records, rest = _split(rest + block, lengths)
            yield records
    if rest:
        raise InputError(f"a TFRecord file must end with a whole record ({path})")


def _split(block: bytes, lengths: Lengths) -> tuple[list[bytes], bytes]:
    """Returns the records that a block has whole, and what follows them."""
    records = []
    start = 0
    while (begin := start + HEAD_BYTES) <= len(block):
        end = begin + lengths[block[start:begin]]
        if end + TAIL_BYTES > len(block):
            break
        records.append(block[begin:end])
        start = end + TAIL_BYTES
    return records, block[start:]
