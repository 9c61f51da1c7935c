"""Arrow files in the scratch folder of one execution: what ingestion's stages hand to each other.

What travels through Beam are the places of batches, not the rows: so no runner holds rows. The folder must be on a file
system that all workers share.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from components.ingestion.text_hashes import hashes_of_texts
from components.storage import is_remote

Array = npt.NDArray[Any]


class BatchLocation(NamedTuple):
    """The place of a batch of rows.

    Attributes:
      order: Of two batches, the one with the smaller order comes first, whatever the order in which Beam hands them on.
      path: The Arrow file.
      batch: The batch's number in the file.
    """

    order: tuple[int, ...]
    path: str
    batch: int


def write(path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    """Writes an Arrow file; a bundle that Beam runs again writes the same file again.

    A local file is replaced, not overwritten: other stages may have mapped it into memory.
    """
    written = path if is_remote(path) else f"{path}.{uuid.uuid4().hex}"
    with (
        FileSystems.create(written, compression_type=CompressionTypes.UNCOMPRESSED) as stream,
        pa.ipc.new_file(stream, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    if written != path:
        os.replace(written, path)


def write_table(path: str, table: pa.Table) -> None:
    """Writes a table as an Arrow file of one batch; ValueError if a column's texts take more than 2 GiB."""
    (batch,) = table.combine_chunks().to_batches() or [_empty(table.schema)]
    write(path, [batch], table.schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def read(location: BatchLocation) -> pa.Table:
    """Reads one batch, and of a file with many batches nothing else; a local file is mapped into memory."""
    if os.path.exists(location.path):
        return _batch(pa.memory_map(location.path), location.batch)
    with FileSystems.open(location.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        return _batch(pa.PythonFile(stream, "r"), location.batch)


def _batch(file: pa.NativeFile, number: int) -> pa.Table:
    return pa.Table.from_batches([pa.ipc.open_file(file).get_batch(number)])


def read_table(path: str) -> pa.Table:
    """Reads an Arrow file of one batch."""
    return read(BatchLocation((), path, 0))


def write_buckets(
    path: str, table: pa.Table, bucket: Array, num_buckets: int, order: Sequence[int]
) -> list[tuple[int, BatchLocation]]:
    """Writes rows by bucket, in their order, as one batch of a file for each bucket that has rows.

    Args:
      path: The file.
      table: The rows.
      bucket: The bucket of each row, from 0 to `num_buckets` - 1.
      num_buckets: The number of buckets.
      order: The order of these rows among those of other files.

    Returns:
      The buckets that have rows, and where these are.
    """
    numbers = np.bincount(bucket, minlength=num_buckets)
    if num_buckets > 1:
        table = table.take(pa.array(np.argsort(bucket, kind="stable")))
    table = table.combine_chunks()
    locations: list[tuple[int, BatchLocation]] = []
    batches: list[pa.RecordBatch] = []
    start = 0
    for at in np.flatnonzero(numbers).tolist():
        (batch,) = table.slice(start, int(numbers[at])).to_batches()
        start += int(numbers[at])
        locations.append((at, BatchLocation(tuple(order), path, len(batches))))
        batches.append(batch)
    if batches:
        write(path, batches, table.schema)
    return locations


def buckets_of_texts(texts: pa.Array, num_buckets: int) -> Array:
    """Returns a bucket for each text, from its bytes alone."""
    if num_buckets == 1:
        return np.zeros(len(texts), np.int64)
    return (hashes_of_texts(texts) % np.uint64(num_buckets)).astype(np.int64)
