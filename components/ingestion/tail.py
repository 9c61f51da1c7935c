"""The tail of a span: the files, beside its examples, by which the next span completes the labels that it left out.

All are Parquet. In `OPEN` are the impressions whose attribution windows are open at the span's end. `INSTALLS` and
`EVALUATED` have the keys and times of the span's installs and evaluation impressions, sorted by time: of them, a reader
reads the row groups between two times only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from components import storage

#: The folder of the tail in an Examples artifact, and the folder and the files in it.
TAIL, OPEN, INSTALLS, EVALUATED = "tail", "open", "installs.parquet", "evaluated.parquet"

#: The rows of a row group of `INSTALLS` or `EVALUATED`.
GROUP_ROWS = 1 << 14

#: In the metadata of `INSTALLS`: the end of the span's logs, in seconds since 1970.
_END = b"end_of_logs"


def write_open(folder: str, order: tuple[int, ...], rows: pa.Table) -> None:
    """Writes a shard of open impressions into a tail's folder."""
    name = f"{'-'.join(f'{number:05d}' for number in order)}.parquet"
    _write(os.path.join(folder, OPEN, name), rows)


def open_shards(folder: str) -> list[str]:
    """Returns the shards of a tail's open impressions, sorted; empty if there are none."""
    shards = os.path.join(folder, OPEN)
    return [os.path.join(shards, name) for name in storage.names(shards) if name.endswith(".parquet")]


def shown_times(shard: str) -> npt.NDArray[np.float64]:
    """Returns the times of a shard's impressions, in seconds since 1970; reads this column only."""
    with _opened(shard) as file:
        return np.asarray(file.read(["shown"])["shown"])


def read_shard(path: str) -> pa.Table:
    """Reads what `write_open` wrote."""
    with _opened(path) as file:
        return file.read()


def write_times(path: str, keys: pa.Array, times: pa.Array, end: float) -> None:
    """Writes keys and times, sorted by time.

    Args:
      path: The file.
      keys: The keys, texts.
      times: The times, float64, in seconds since 1970.
      end: The end of the span's logs, in seconds since 1970.
    """
    rows = pa.table({"key": keys, "time": times}).sort_by([("time", "ascending"), ("key", "ascending")])
    _write(path, rows.replace_schema_metadata({_END: repr(end).encode()}))


def end_of_logs(path: str) -> float:
    """Returns the `end` that `write_times` was given."""
    with _opened(path) as file:
        metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata
        return float(metadata[_END])


def times_between(path: str, earliest: float, latest: float) -> pa.Table:
    """Reads the rows of `write_times` whose time is in [`earliest`, `latest`]: `key`, and `time` as float64."""
    with _opened(path) as file:
        groups = _groups_between(file, earliest, latest)
        rows = file.read_row_groups(groups) if groups else file.schema_arrow.empty_table()
    time = rows["time"]
    return rows.filter(pc.and_(pc.greater_equal(time, earliest), pc.less_equal(time, latest)))


def num_read(path: str, earliest: float, latest: float) -> int:
    """Returns the number of rows that `times_between` reads; reads the file's metadata only."""
    with _opened(path) as file:
        groups = _groups_between(file, earliest, latest)
        return sum(file.metadata.row_group(group).num_rows for group in groups)


def _groups_between(file: pq.ParquetFile, earliest: float, latest: float) -> list[int]:
    column = file.schema_arrow.get_field_index("time")
    bounds = [file.metadata.row_group(group).column(column).statistics for group in range(file.num_row_groups)]
    return [at for at, of in enumerate(bounds) if of is None or (of.min <= latest and of.max >= earliest)]


def _write(path: str, rows: pa.Table) -> None:
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        pq.write_table(rows, stream, row_group_size=GROUP_ROWS)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    with stream, pq.ParquetFile(stream) as file:
        yield file
