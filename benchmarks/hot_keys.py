"""Rewrites a simulated day so that one user has a share of its requests, and one app a share of its impressions.

The logs are read and written in batches. The hot user and the hot app are new ones, with a row of their own in the
tables. The user's requests are spread over the day. The install log's rows are rewritten by the same shares, each for
itself, so that its hot keys are as hot. An install of the hot user labels each of that user's impressions of the app
within the attribution window before the install, so more impressions are positive than in the even log.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipeline.simulator.day_folders import LOGS
from transform.config.schedule import SUCCESS_MARKER

HOT_USER, HOT_APP = "u_hot", "com.store.app_hot"

#: A request of the simulated store has at most 10 impressions, and shows an app once.
MAX_APP_SHARE = 0.1

_GOLDEN = (math.sqrt(5) - 1) / 2


class Shares(NamedTuple):
    """The shares of the hot keys.

    Attributes:
      user: The hot user's share of the requests and of the installs; 0 if there is none.
      app: The hot app's share of the impressions and of the installs; 0 if there is none.
    """

    user: float
    app: float

    @property
    def name(self) -> str:
        """The name of a folder of logs with these shares; empty without hot keys."""
        parts = [f"hot-{what}-{share:g}" for what, share in zip(self._fields, self, strict=True) if share]
        return "-".join(parts)

    def check(self) -> None:
        """Raises ValueError if the shares are not allowed."""
        if not 0 <= self.user < 1:
            raise ValueError(f"the hot user's share must be at least 0 and less than 1. Received: {self.user:g}")
        if not 0 <= self.app <= MAX_APP_SHARE:
            raise ValueError(
                f"the hot app's share must be 0 to {MAX_APP_SHARE:g}: a request has up to 10 impressions, and shows an "
                f"app once. Received: {self.app:g}"
            )


def rewrite_day(even: Path, hot: Path, day: int, shares: Shares) -> None:
    """Rewrites a day's logs; the file that marks them as complete is written last.

    Args:
      even: The folder of a simulated store, in CSV.
      hot: The folder for the rewritten store.
      day: The day.
      shares: The shares of the hot keys.

    Raises:
      ValueError: If the shares are not allowed.
    """
    shares.check()
    for log in LOGS:
        folder = hot / log / f"day-{day}"
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was interrupted
        folder.mkdir(parents=True)
        change = _HotKeys(shares) if log in ("impressions", "installs") else _HotRow()
        for part in sorted((even / log / f"day-{day}").glob("part-*.csv")):
            _rewrite(part, folder / part.name, change)
    (hot / "impressions" / f"day-{day}" / SUCCESS_MARKER).touch()


def _rewrite(part: Path, new: Path, change: Callable[[pa.RecordBatch], pa.Table]) -> None:
    with part.open(encoding="utf-8") as file:
        header = file.readline()
    texts = {name: pa.string() for name in header.rstrip("\n").split(",")}
    read = pa_csv.ConvertOptions(column_types=texts, strings_can_be_null=False)
    write = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    with pa_csv.open_csv(part, convert_options=read) as batches, new.open("wb") as stream:
        stream.write(header.encode())
        for batch in batches:
            pa_csv.write_csv(change(batch), stream, write)


class _HotRow:
    """Adds the hot key's row to a table: a copy of the first row."""

    def __init__(self) -> None:
        self._is_added = False

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        rows = pa.Table.from_batches([batch])
        hot, key = (HOT_USER, "user_id") if "user_id" in rows.column_names else (HOT_APP, "app_id")
        if self._is_added:
            return rows
        self._is_added = True
        row = rows.slice(0, 1)
        row = row.set_column(row.column_names.index(key), key, pa.array([hot]))
        return pa.concat_tables([rows, row])


class _HotKeys:
    """Gives a log's rows to the hot keys."""

    def __init__(self, shares: Shares) -> None:
        self._shares, self._rows, self._requests = shares, 0, 0
        self._last_request: str | None = None

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        rows = pa.Table.from_batches([batch])
        number = np.arange(self._rows, self._rows + len(rows))
        self._rows += len(rows)
        request = self._request_numbers(rows["request_id"]) if "request_id" in rows.column_names else number
        of_user = (request * _GOLDEN) % 1 < self._shares.user
        # Evenly spaced, so that a request has one at most.
        of_app = np.floor((number + 1) * self._shares.app) > np.floor(number * self._shares.app)
        for name, hot, chosen in (("user_id", HOT_USER, of_user), ("app_id", HOT_APP, of_app)):
            changed = pc.if_else(pa.array(chosen), hot, rows[name])
            rows = rows.set_column(rows.column_names.index(name), name, changed)
        return rows

    def _request_numbers(self, ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Returns the number of each row's request; a request's rows are adjacent, and may be of two batches."""
        texts = ids.to_numpy()
        is_new = np.r_[texts[0] != self._last_request, texts[1:] != texts[:-1]]
        numbers: npt.NDArray[np.int64] = self._requests + np.cumsum(is_new)
        self._requests, self._last_request = int(numbers[-1]), texts[-1]
        return numbers
