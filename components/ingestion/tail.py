"""The tail of a span: the files, beside its examples, by which the next span completes the labels that it left out.

All are Parquet. In `OPEN` are the impressions whose attribution windows are open at the span's end. `INSTALLS` and
`EVALUATED` have the keys and times of the span's installs and evaluation impressions, sorted by time: of them, a reader
reads the row groups between two times only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
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


@dataclasses.dataclass(frozen=True)
class KeyedTimes:
    """Keys and times of some rows of a file.

    Attributes:
      rows: The columns `key` (as written) and `time` (seconds since 1970, float64).
      num_read: The number of rows that were read to find them.
    """

    rows: pa.Table
    num_read: int


def write_open(folder: str, order: tuple[int, ...], rows: pa.Table) -> None:
    """Writes a shard of open impressions into a tail's folder."""
    name = f"{'-'.join(f'{number:05d}' for number in order)}.parquet"
    _write(os.path.join(folder, OPEN, name), rows)


def open_shards(folder: str) -> list[str]:
    """Returns the shards of a tail's open impressions, sorted; empty if there are none."""
    shards = os.path.join(folder, OPEN)
    return [os.path.join(shards, name) for name in storage.names(shards) if name.endswith(".parquet")]


def shown_times(shards: Sequence[str]) -> npt.NDArray[np.float64]:
    """Returns the times of the impressions of shards, in seconds since 1970; reads this column only."""
    times = [np.zeros(0)]
    for path in shards:
        with _opened(path) as file:
            times.append(np.asarray(file.read(["shown"])["shown"]))
    return np.concatenate(times)


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


def times_between(path: str, earliest: float, latest: float) -> KeyedTimes:
    """Reads the rows of `write_times` whose time is in [`earliest`, `latest`]."""
    with _opened(path) as file:
        column = file.schema_arrow.get_field_index("time")
        bounds = [file.metadata.row_group(group).column(column).statistics for group in range(file.num_row_groups)]
        groups = [at for at, of in enumerate(bounds) if of is None or (of.min <= latest and of.max >= earliest)]
        rows = file.read_row_groups(groups) if groups else file.schema_arrow.empty_table()
    time = rows["time"]
    is_between = pc.and_(pc.greater_equal(time, earliest), pc.less_equal(time, latest))
    return KeyedTimes(rows.filter(is_between), len(rows))


def _write(path: str, rows: pa.Table) -> None:
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        pq.write_table(rows, stream, row_group_size=GROUP_ROWS)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    with stream, pq.ParquetFile(stream) as file:
        yield file
