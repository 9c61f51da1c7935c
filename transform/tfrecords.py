"""Reads TFRecord files without TensorFlow."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from transform.errors import InputError

#: A record's header: the length of its data and the checksum of that length. The data and its checksum follow.
_HEAD = struct.Struct("<QI")
_CHECKSUM_BYTES = 4


def read_records(path: str) -> Iterator[bytes]:
    """Reads a file's records, without verifying their checksums.

    Args:
      path: The file; if its name ends in `.gz`, it is decompressed.

    Yields:
      The records.

    Raises:
      InputError: If the file is missing, damaged or ends within a record.
    """
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            yield from _records(cast(BinaryIO, file), path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"a TFRecord file must be readable. Received: {reason} ({path})") from error


def _records(file: BinaryIO, path: str) -> Iterator[bytes]:
    while head := file.read(_HEAD.size):
        size = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else 0
        record = file.read(size)
        if len(record) < size or len(file.read(_CHECKSUM_BYTES)) < _CHECKSUM_BYTES:
            raise InputError(f"a TFRecord file must end with a whole record ({path})")
        yield record
