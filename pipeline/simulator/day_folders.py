"""Folders of one simulated day: written under a temporary name, then published together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.simulator.writers import write_part
from transform.config.schedule import SUCCESS_MARKER

LOGS = ("catalog", "users", "installs", "impressions")  # in the order of publication


def published_paths(out: Path, day: int) -> list[Path]:
    """Returns all paths of the day below `out`."""
    return [*(out / log / f"day-{day}" for log in LOGS), out / "truth" / f"day-{day}.parquet"]


class DayFolders:
    """Writes one day. A second thread writes while the caller draws the next rows.

    Used as a context manager: on exit the day is published, or, if an exception was raised, removed. The impressions
    are published last, and then the empty file `_SUCCESS` is written into their folder.
    """

    def __init__(self, out: Path, day: int, file_format: str, *, compress: bool) -> None:
        self._out = out
        self._day = day
        self._format = file_format
        self._compress = compress
        self._hidden = out / f".day-{day}.partial"
        self._num_parts = dict.fromkeys(LOGS, 0)
        self._truth: pq.ParquetWriter | None = None
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._pending: list[Future[object]] = []

    def __enter__(self) -> DayFolders:
        shutil.rmtree(self._hidden, ignore_errors=True)  # left by a run that was killed
        for log in LOGS:
            (self._hidden / log).mkdir(parents=True)
        return self

    def write(self, log: str, table: pa.Table) -> None:
        """Writes the table as the log's next part file."""
        part = self._num_parts[log]
        self._num_parts[log] += 1
        self._submit(write_part, table, self._hidden / log, part, self._format, compress=self._compress)

    def write_truth(self, table: pa.Table) -> None:
        """Appends the table to the file of the day's ground truth."""
        if self._truth is None:
            self._truth = pq.ParquetWriter(self._hidden / "truth.parquet", table.schema, use_dictionary=False)
        self._submit(self._truth.write_table, table)

    def _submit(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        while len(self._pending) >= 2:  # limits the queue to one chunk
            self._pending.pop(0).result()
        self._pending.append(self._executor.submit(function, *args, **kwargs))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._executor.shutdown(wait=True, cancel_futures=error is not None)
            if self._truth is not None:
                self._truth.close()
            if error is None:
                for future in self._pending:
                    future.result()
                self._publish()
        finally:
            shutil.rmtree(self._hidden, ignore_errors=True)

    def _publish(self) -> None:
        *logs, impressions = LOGS
        sources = [*(self._hidden / log for log in logs), self._hidden / "truth.parquet", self._hidden / impressions]
        *paths, impressions_path, truth_path = published_paths(self._out, self._day)
        for source, path in zip(sources, [*paths, truth_path, impressions_path], strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            source.rename(path)
        (impressions_path / SUCCESS_MARKER).touch()
