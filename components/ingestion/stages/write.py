"""The last stages of ingestion: they shuffle and write examples, and write the quarantine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from components.examples.writing import write_compressed, write_records
from components.ingestion.example_rows import ExampleEncoder
from components.ingestion.layout import Layout, assign_folds
from components.ingestion.stages import scratch
from components.ingestion.stages.scratch import BatchLocation
from components.ingestion.stages.tail import shared_folds
from components.ingestion.stages.task import ROWS_AT_ONCE, Order, Partition, Task
from components.splitmix import mixed
from transform.example_keys import NO_FOLD

#: The bits of a row's number in the key by which rows are shuffled; the file's rank has the others.
_ROW_BITS = 40


class ShufflePart(beam.DoFn):  # type: ignore[misc]
    """Hands rows to the shards: (part's order, groups) to (shard, place).

    Training reads the examples in the order in which they were written; its shuffle buffer holds only some of them. So
    the rows are shuffled here, by a hash of their places in the logs, which is independent of labels and keys.
    """

    def __init__(self, task: Task):
        self._task, self._layout = task, Layout(task.config)
        self._positions = ExampleEncoder(task.config, task.span).log_positions

    def process(self, element: tuple[Order, dict[str, Any]]) -> Iterator[tuple[int, BatchLocation]]:
        order, groups = element
        (partition,) = groups["part"]
        rows = scratch.read_table(partition.path)
        is_eval = np.asarray(rows["eval"])
        shares = np.zeros(len(rows), np.int8)
        for marked in groups["marked"]:
            shares[marked] = 1
        location = (np.uint64(order[0]) << np.uint64(_ROW_BITS)) + np.asarray(rows["number"]).astype(np.uint64)
        keys = mixed(location)
        tables = [f"t{at}" for at in range(len(self._task.config.sources.joined_tables))]
        sent = rows.select([*(f"c{at}" for at in self._positions), "label", *tables])
        sent = sent.append_column("fold", pa.array(self._folds(partition, rows, is_eval), pa.int8()))
        sent = sent.append_column("shares_label", pa.array(shares)).append_column("key", pa.array(keys))
        number = self._task.num_shards
        shards = ((keys >> np.uint64(32)) % np.uint64(number)).astype(np.int64) + number * is_eval
        yield from scratch.write_buckets(self._task.path("shuffled", order), sent, shards, 2 * number, order)

    def _folds(self, partition: Partition, rows: pa.Table, is_eval: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8]:
        """Returns each row's fold (`shared_folds`).

        If every row has a label of its own, an evaluation row is in no fold: its count encodings may use all training
        rows.
        """
        if self._layout.label_columns:
            return shared_folds(rows, self._layout)
        of_row = assign_folds(f"{partition.file}:{number}" for number in np.asarray(rows["number"]).tolist())
        return np.where(is_eval, np.int8(NO_FOLD), of_row)


class WriteShard(beam.DoFn):  # type: ignore[misc]
    """Writes a shard's examples, sorted by the shuffle's key: (shard, groups) to nothing.

    Args:
      task: The task.
      folders: The folders of the splits, `train` and `eval`.
    """

    def __init__(self, task: Task, folders: tuple[str, str]):
        self._task, self._folders = task, folders

    def setup(self) -> None:
        self._encoder = ExampleEncoder(self._task.config, self._task.span)
        self._pieces: dict[str, list[pa.Array]] = {}

    def process(self, element: tuple[int, dict[str, Any]], lookups: dict[str, str]) -> None:
        shard, groups = element
        locations = sorted(groups["places"])
        of_eval, at = divmod(shard, self._task.num_shards)
        name = f"data_tfrecord-{at:05d}-of-{self._task.num_shards:05d}.gz"
        path = FileSystems.join(self._folders[of_eval], name)
        names = list(self._task.config.sources.joined_tables)
        pieces = {name: self._encode_pieces(lookups[name]) for name in names}
        write_records(path, self._examples(locations, pieces) if locations else ())

    def _examples(self, locations: list[BatchLocation], pieces: dict[str, list[pa.Array]]) -> Iterator[pa.Array]:
        rows = pa.concat_tables([scratch.read(location) for location in locations])
        rows = rows.take(pa.array(np.argsort(np.asarray(rows["key"]))))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows.slice(start, ROWS_AT_ONCE)
            found = {name: some[f"t{at}"].combine_chunks() for at, name in enumerate(pieces)}
            yield self._encoder.examples(some, found, pieces)

    def _encode_pieces(self, path: str) -> list[pa.Array]:
        if path not in self._pieces:
            table = scratch.read_table(path)
            self._pieces[path] = [column.combine_chunks() for column in table.columns[1:]]
        return self._pieces[path]


class WriteRejected(beam.DoFn):  # type: ignore[misc]
    """Writes the quarantine's rows: one file of what the stages have rejected, in a fixed order."""

    def process(self, path: str, partitions: Iterable[tuple[str, Order, str]]) -> None:
        paths = [partition for _, _, partition in sorted(partitions)]
        if not paths:
            write_compressed(path, ())
            return
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            for partition in paths:  # gzip files one after the other are a gzip file
                with FileSystems.open(partition, compression_type=CompressionTypes.UNCOMPRESSED) as rows:
                    shutil.copyfileobj(rows, stream)
