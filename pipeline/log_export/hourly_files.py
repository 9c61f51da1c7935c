"""Parquet files of one export, one for each hour and kind of rows, in folders of days in UTC."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components import storage

_HOUR, _DAY = 3600, 86_400


class HourlyFiles:
    """Writes rows to the files of their hours. Nobody reads them before a record of the export names them.

    Args:
      folder: The folder of exports.
      export: The export's name, which its files have at their ends.
    """

    def __init__(self, folder: Path, export: str):
        self._folder, self._export = folder, export
        self._open: dict[str, tuple[IO[bytes], pq.ParquetWriter]] = {}

    def write(self, kind: str, rows: pa.Table, filed: npt.NDArray[np.float64]) -> None:
        """Writes rows.

        Args:
          kind: What they are, the beginning of their files' names.
          rows: The rows; those of a kind have one schema.
          filed: float64 `[rows]`, by which time each is filed, in seconds since 1970.
        """
        hours = np.floor_divide(filed, _HOUR).astype(np.int64)
        for hour in np.unique(hours).tolist():
            day = np.datetime64(hour * _HOUR // _DAY, "D")
            name = f"{day}/{kind}-{hour % 24:02d}-{self._export}.parquet"
            if name not in self._open:
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("wb")
                self._open[name] = file, pq.ParquetWriter(file, rows.schema, compression="zstd")
            self._open[name][1].write_table(rows.filter(pa.array(hours == hour)))

    def close(self) -> list[str]:
        """Ends the files and flushes them to the disk; returns their names, relative to the folder, sorted."""
        for file, writer in self._open.values():
            writer.close()
            file.flush()
            os.fsync(file.fileno())
            file.close()
        for day in {os.path.dirname(name) for name in self._open}:
            storage.sync(os.fspath(self._folder / day))
        return sorted(self._open)
