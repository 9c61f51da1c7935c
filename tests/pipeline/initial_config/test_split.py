"""The split that `wdr init` writes: by time where the last rows are fit to be evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.initial_config.guessing import log_of, of_csv

ROWS = range(600)
HOUR = 3600

#: 600 rows, one every three hours: the first 480 cover 479 · 3 hours, 59.9 days.
LOG: dict[str, Any] = {
    "userId": [i % 30 + 1 for i in ROWS],
    "movieId": [i * 7 % 53 + 100 for i in ROWS],
    "timestamp": [1_700_000_000 + 3 * HOUR * i for i in ROWS],
    "liked": [i * 11 % 7 % 2 for i in ROWS],
}


def split_of(folder: Path, **changes: Any) -> tuple[str, float, str]:
    config, text = of_csv(folder, log_of(LOG | changes))
    comments = [line.split("split_by: time_fraction: ")[1] for line in text.splitlines() if "# not by time" in line]
    return config.ingestion.split_by, config.ingestion.eval_fraction, "".join(comments)


def test_the_last_rows_by_time(tmp_path: Path) -> None:
    assert split_of(tmp_path) == ("time_fraction", 0.2, "")
    days = [f"2026-0{1 + i // 150}-{1 + i % 28:02d}" for i in ROWS]  # four months
    assert split_of(tmp_path, timestamp=days)[0] == "time_fraction"
    words = [f"{1 + i // 20} Jan 2026" for i in ROWS]  # 24 days before the last 120 rows
    assert split_of(tmp_path, timestamp=words)[0] == "time_fraction"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        # 479 times 20 minutes are 6.65 days.
        (
            {"timestamp": [1_700_000_000 + 1200 * i for i in ROWS]},
            "the rows before the last 20% cover 6.7 days, less than a week",
        ),
        # Users come one after the other, 20 rows each: 24 of them before the last 120 rows.
        (
            {"userId": [i // 20 for i in ROWS]},
            '100% of the last rows have a "userId" that no earlier row has',
        ),
        (
            {"liked": [int(i % 2 and i < 480) for i in ROWS]},
            "the last 20%, or the rows before them, have one label only",
        ),
        ({"timestamp": [1_700_000_000] * 600}, ""),  # a column of one value is none
    ],
)
def test_by_the_hash_with_the_reason(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    assert split_of(tmp_path, **changes) == ("row_hash", 0.2, why)


def test_a_request_stays_whole_where_the_log_is_short(tmp_path: Path) -> None:
    requests = [f"r{i // 3}" for i in ROWS]
    short = [1_700_000_000 + i // 3 for i in ROWS]
    assert split_of(tmp_path, request_id=requests, timestamp=short)[0] == "request_hash"
    assert split_of(tmp_path, request_id=requests)[0] == "time_fraction"
