"""The stages of ingestion that write a span's tail (`components.ingestion.tail`)."""

from __future__ import annotations

import os
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.columns.parser import to_lists
from components.ingestion.example_rows import ExampleEncoder
from components.ingestion.layout import Layout, assign_folds
from components.ingestion.stages import scratch
from components.ingestion.stages.lookups import join_keys
from components.ingestion.stages.task import INSTALL_LOG, Partition, Task
from components.ingestion.tail import EVALUATED, INSTALLS, write_open, write_times


def shared_folds(rows: pa.Table, layout: Layout) -> npt.NDArray[np.int8]:
    """Returns the fold of each row, int8 `[len(rows)]`: the same for all that can share a label (`trainer.counts`)."""
    columns = to_lists([rows[f"c{at}"].combine_chunks() for at in layout.label_columns])
    return assign_folds(map(repr, map(list, zip(*columns, strict=True))))


def encode_pieces(rows: pa.Table, table: int) -> list[pa.Array]:
    """Returns, of rows of a shard of the tail, the pieces (`ExampleEncoder`) of each row's row of a table.

    Args:
      rows: The rows.
      table: The table's number in the config.
    """
    prefix = _piece_column(table, "")
    return [rows[name].combine_chunks() for name in rows.column_names if name.startswith(prefix)]


def _piece_column(table: int, piece: int | str) -> str:
    return f"t{table}_{piece}"


class WriteOpen(beam.DoFn):  # type: ignore[misc]
    """Writes a part of open impressions as a shard of the tail: maps a part to nothing.

    Args:
      task: The task.
      folder: The tail's folder.
    """

    def __init__(self, task: Task, folder: str):
        self._task, self._folder, self._layout = task, folder, Layout(task.config)
        self._positions = ExampleEncoder(task.config, task.span).log_positions

    def process(self, partition: Partition, lookups: dict[str, str]) -> None:
        rows = scratch.read_table(partition.path)
        shard = rows.select([f"c{at}" for at in self._positions])
        shard = shard.append_column("key", join_keys([rows[f"c{at}"] for at in self._layout.label_columns]))
        shard = shard.append_column("shown", rows[f"c{self._layout.timestamp}"])
        shard = shard.append_column("label", rows["label"]).append_column("eval", rows["eval"])
        shard = shard.append_column("fold", pa.array(shared_folds(rows, self._layout), pa.int8()))
        for at, name in enumerate(self._task.config.sources.joined_tables):
            pieces = scratch.read_table(lookups[name]).columns[1:]
            found = rows[f"t{at}"].combine_chunks()
            for number, piece in enumerate(pieces):
                shard = shard.append_column(_piece_column(at, number), piece.combine_chunks().take(found))
        write_open(self._folder, partition.order, shard)


class WriteForTheNextSpan(beam.DoFn):  # type: ignore[misc]
    """Writes what the next span's tail does not have: maps the tail's folder to nothing.

    Args:
      task: The task.
    """

    def __init__(self, task: Task):
        self._layout = Layout(task.config)

    def process(
        self,
        folder: str,
        lookups: dict[str, str],
        end_of_impressions: float,
        end_of_installs: float,
        partitions: Iterable[Partition],
    ) -> None:
        end = max(end_of_impressions, end_of_installs)
        installs = scratch.read_table(lookups[INSTALL_LOG])
        write_times(os.path.join(folder, INSTALLS), installs["key"], installs["time"], end)
        evaluated = [self._evaluated(partition) for partition in sorted(partitions)]
        keys = pa.chunked_array([keys for keys, _ in evaluated], pa.large_string())
        times = np.concatenate([np.zeros(0), *(times for _, times in evaluated)])
        write_times(os.path.join(folder, EVALUATED), keys, pa.array(times), end)

    def _evaluated(self, partition: Partition) -> tuple[pa.Array, npt.NDArray[np.float64]]:
        """Returns the keys and times of a part's evaluation impressions."""
        rows = scratch.read_table(partition.path)
        columns = [rows[f"c{at}"] for at in (*self._layout.label_columns, self._layout.timestamp)]
        some = [column.filter(rows["eval"]) for column in columns]
        return join_keys(some[:-1]), np.asarray(some[-1])
