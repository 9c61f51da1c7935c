"""Folders of one simulated day: written under a temporary name, then published together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.simulator.writers import write_part
from transform.config.schedule import SUCCESS_MARKER

LOGS = ("catalog", "users", "installs", "impressions")  # in the order of publication


TRUTH = "truth"


def published_paths(out: Path, day: int, logs: Sequence[str] = LOGS, truths: Sequence[str] = (TRUTH,)) -> list[Path]:
    """Returns all paths of the day below `out`: a folder for each log, a file for each part of the ground truth."""
    return [*(out / log / f"day-{day}" for log in logs), *(out / truth / f"day-{day}.parquet" for truth in truths)]


class DayFolders:
    """Writes one day. A second thread writes while the caller draws the next rows.

    Used as a context manager: on exit the day is published, or, if an exception was raised, removed. The last log, the
    impressions, is published last, and then the empty file `_SUCCESS` is written into its folder.

    Args:
      out: The folder of all days.
      day: The day's number.
      file_format: The format of the logs.
      compress: Whether their files are gzipped.
      logs: The folders of logs.
      truths: The folders of ground truth, each with one file a day.
    """

    def __init__(
        self,
        out: Path,
        day: int,
        file_format: str,
        *,
        compress: bool,
        logs: Sequence[str] = LOGS,
        truths: Sequence[str] = (TRUTH,),
    ) -> None:
        self._out = out
        self._day = day
        self._format = file_format
        self._compress = compress
        self._hidden = out / f".day-{day}.partial"
        self._logs, self._truths = tuple(logs), tuple(truths)
        self._num_parts = dict.fromkeys(logs, 0)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._pending: list[Future[object]] = []

    def __enter__(self) -> DayFolders:
        shutil.rmtree(self._hidden, ignore_errors=True)  # left by a run that was killed
        for log in self._logs:
            (self._hidden / log).mkdir(parents=True)
        return self

    def write(self, log: str, table: pa.Table) -> None:
        """Writes the table as the log's next part file."""
        part = self._num_parts[log]
        self._num_parts[log] += 1
        self._submit(write_part, table, self._hidden / log, part, self._format, compress=self._compress)

    def write_truth(self, table: pa.Table, truth: str = TRUTH) -> None:
        """Appends the table to a file of the day's ground truth."""
        if truth not in self._writers:
            self._writers[truth] = pq.ParquetWriter(self._truth_file(truth), table.schema, use_dictionary=False)
        self._submit(self._writers[truth].write_table, table)

    def _truth_file(self, truth: str) -> Path:
        return self._hidden / f"{truth.replace('/', '-')}.parquet"

    def _submit(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        while len(self._pending) >= 2:  # limits the queue to one chunk
            self._pending.pop(0).result()
        self._pending.append(self._executor.submit(function, *args, **kwargs))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._executor.shutdown(wait=True, cancel_futures=error is not None)
            for writer in self._writers.values():
                writer.close()
            if error is None:
                for future in self._pending:
                    future.result()
                self._publish()
        finally:
            shutil.rmtree(self._hidden, ignore_errors=True)

    def _publish(self) -> None:
        sources = [*(self._hidden / log for log in self._logs), *map(self._truth_file, self._truths)]
        paths = published_paths(self._out, self._day, self._logs, self._truths)
        last = len(self._logs) - 1
        for index in [i for i in range(len(paths)) if i != last] + [last]:
            paths[index].parent.mkdir(parents=True, exist_ok=True)
            sources[index].rename(paths[index])
        (paths[last] / SUCCESS_MARKER).touch()
