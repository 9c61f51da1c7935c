"""Times that `wdr init` knows by their values, whatever the column's name, and what it says of those it cannot use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.initial_config.features import guess_columns
from pipeline.initial_config.row_times import find_row_times
from pipeline.initial_config.samples.sample import Column, Sample
from tests.pipeline.initial_config.guessing import kinds, log_of, of_csv
from transform.config.sources import DelimitedText

ROWS = range(600)

#: 2014-02-01 in seconds since 1970: 44 years of 365 days, 11 leap days (1972 to 2012) and 31 days.
FIRST = (44 * 365 + 11 + 31) * 86_400

#: One row every two hours from then on, until 2014-03-22 22:00.
SECONDS = [FIRST + 7200 * i for i in ROWS]
DAYS = [(2 + (i // 12 >= 28), i // 12 % 28 + 1, i * 2 % 24) for i in ROWS]


def init(folder: Path, **columns: Sequence[Any]) -> tuple[tuple[str | None, str | None], set[str], str]:
    """Returns the timestamp's column and form, the names of the features, and the text of the config."""
    log = {"user_id": [f"u{i % 30}" for i in ROWS], "item_id": [f"i{i * 7 % 53}" for i in ROWS], **columns}
    config, text = of_csv(folder, log_of(log | {"clicked": [i * 11 % 7 % 2 for i in ROWS]}, ";"))
    impressions = config.sources.impressions
    names = kinds(config).keys() - {"place", "user_id", "item_id"}
    return (impressions.timestamp, impressions.timestamp_format), {*names}, text


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (SECONDS, None),
        ([f"{seconds}.5" for seconds in SECONDS], None),
        ([f"2014-{m:02}-{d:02} {h:02}:00:00" for m, d, h in DAYS], None),
        ([f"{m}/{d}/2014 {h}:00" for m, d, h in DAYS], "%m/%d/%Y %H:%M"),
        ([f"14{m:02}{d:02}{h:02}" for m, d, h in DAYS], "%y%m%d%H"),  # as Avazu's log has it
        ([f"2014{m:02}{d:02}{h:02}" for m, d, h in DAYS], "%Y%m%d%H"),
        ([f"2014{m:02}{d:02}{h:02}0500" for m, d, h in DAYS], "%Y%m%d%H%M%S"),
    ],
)
def test_times_under_a_name_that_says_nothing(tmp_path: Path, values: Sequence[Any], form: str | None) -> None:
    timestamp, names, text = init(tmp_path, shown_at=values)
    assert timestamp == ("shown_at", form)
    assert names <= {"shown_at_hour", "shown_at_weekday"}
    assert ", from 2014-02-01 to 2014-03-22\n" in text
    assert "split_by: time_fraction  #" in text


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("shown_at", [s * 1000 for s in SECONDS], "milliseconds since 1970, and a `timestamp` has seconds"),
        ("ts", [s * 10**6 for s in SECONDS], "microseconds since 1970, and a `timestamp` has seconds"),
        ("timestamp", [s * 10**9 for s in SECONDS], "nanoseconds since 1970, and a `timestamp` has seconds"),
        ("ts", [s - 2 * FIRST for s in SECONDS], "seconds before 1970, and a `timestamp` is later"),
        (
            "time",
            [s * 1000**at for s, at in zip(SECONDS, [0, 1] * 300, strict=True)],
            "numbers since 1970 in several units, and a `timestamp` has seconds",
        ),
        (
            "date",
            [41_671 + i // 12 for i in ROWS],
            "days since 1900, as spreadsheets store dates, and a `timestamp` has texts such as 2026-01-31",
        ),
        (
            "timestamp",
            ["0" if i % 20 == 7 else s for i, s in enumerate(SECONDS)],
            'no time of one form in 30 of 600 rows, first in row 8, such as "0"',
        ),
        (
            "shown_at",
            ["" if i % 20 == 7 else s for i, s in enumerate(SECONDS)],
            "no time of one form in 30 of 600 rows, first in row 8",
        ),
        (
            "when",
            ["05/02/2014" if i == 101 else f"2014-{m:02}-{d:02}T{h:02}:00:00" for i, (m, d, h) in enumerate(DAYS)],
            'no time of one form in 1 of 600 rows, first in row 102, such as "05/02/2014"',
        ),
        (
            "born",
            [f"14-{m:02}-{d:02}" for m, d, _ in DAYS],
            "by its name no date of the row; if it is one, declare it as the `timestamp`",
        ),
        (
            "user_since",
            SECONDS,
            "by its name a time of the user; if it is the row's, declare it as the `timestamp`",
        ),
    ],
)
def test_times_that_cannot_split_the_rows_are_no_numbers(
    tmp_path: Path, name: str, values: Sequence[Any], why: str
) -> None:
    timestamp, names, text = init(tmp_path, **{name: values})
    assert timestamp == (None, None)
    assert names <= {f"{name}_{part}" for part in ("hour", "weekday", "year", "month")}
    what = "of which parts are features" if names else "which no later row has"
    reason = f'"{name}": dates or times, {what}; not the rows\': {why}'
    assert f"# left out: {reason}\n" in text
    assert f"# not by time, split_by: time_fraction: {reason}\n" in text


def test_a_column_that_is_called_a_time_goes_before_one_that_is_not(tmp_path: Path) -> None:
    timestamp, _, text = init(tmp_path, joined=[s - 86_400 * (i % 9) for i, s in enumerate(SECONDS)], time=SECONDS)
    assert timestamp == ("time", None)
    assert '; the rows\' times are taken from "time"\n' in text


def test_of_two_meanings_of_a_date_it_is_the_one_whose_days_lie_together(tmp_path: Path) -> None:
    days = [f"{i % 12 + 1:02}/{i // 150 + 1:02}/2014" for i in ROWS]  # days 1 to 12 of January to April
    timestamp, _, text = init(tmp_path, date=days)
    assert timestamp == ("date", "%d/%m/%Y")
    assert "; it may be %m/%d/%Y too\n" in text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("revenue", [1_000_000_000 + 100_000 * (i * 7 % 531) for i in ROWS]),  # whole thousands
        ("size", [i * 7919 % 600 * 4_000_001 for i in ROWS]),  # from 0 on
        ("time", [i * 7 % 531 for i in ROWS]),  # a time of so many seconds
    ],
)
def test_amounts_are_no_times(tmp_path: Path, name: str, values: Sequence[Any]) -> None:
    assert init(tmp_path, **{name: values})[:2] == ((None, None), {name})


def test_dates_that_are_often_the_same_midnight_are_times() -> None:
    """2026-02-01 is 20,485 days after 1970, so a whole thousand of seconds: 1,769,904,000."""
    texts = ["02/01/2026"] * 60 + [f"{month:02}/{day:02}/2026" for month in (3, 4) for day in range(1, 21)]
    times = find_row_times(texts, is_named=False)
    assert times is not None
    assert (times.format, times.example) == ("%m/%d/%Y", "02/01/2026")


def test_a_stored_time_needs_no_name() -> None:
    """A column `paid` of a Parquet file is no id, though its name ends with the same letters."""
    column = Column("paid", "time", tuple((f"2026-01-{1 + i % 28:02}T10:{i % 60:02}:00",) for i in range(600)))
    sample = Sample(Path("x.parquet"), "parquet", DelimitedText(), {}, (column,), 600, True)
    guess = guess_columns(sample, None, (), "")[0]  # the time itself, before its parts
    assert (guess.role, guess.column) == ("timestamp", "paid")
