"""Writes files compressed with gzip, TFRecord files among them.

A file's bytes follow from its contents, as far as `transform.gzip_files.compressor` says.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transform.gzip_files import compressor
from transform.tfrecords import masked_checksum


def framed(records: pa.Array) -> bytes:
    """Returns records, of type large_binary, as in a TFRecord file: each with its length and two checksums."""
    offsets = np.frombuffer(records.buffers()[1], np.int64)[records.offset : records.offset + len(records) + 1].tolist()
    data = records.buffers()[2].to_pybytes() if len(records) else b""
    heads: dict[int, bytes] = {}
    pieces: list[bytes] = []
    for start, end in itertools.pairwise(offsets):
        head = heads.get(end - start)
        if head is None:
            size = (end - start).to_bytes(8, "little")
            head = heads[end - start] = size + masked_checksum(size)
        record = data[start:end]
        pieces += (head, record, masked_checksum(record))
    return b"".join(pieces)


def write_records(path: str, blocks: Iterable[pa.Array]) -> None:
    """Writes a TFRecord file, compressed with gzip.

    Args:
      path: The file.
      blocks: The records, large_binary, in blocks that are held in memory one at a time.
    """
    write_compressed(path, (framed(block) for block in blocks))


def write_compressed(path: str, contents: Iterable[bytes]) -> None:
    """Writes a file compressed with gzip, without a time of writing."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        gzip = compressor()
        for content in contents:
            stream.write(gzip.compress(content))
        stream.write(gzip.flush())
