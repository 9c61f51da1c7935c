"""Columns from which features are derived: what is rejected, and the way of a time from a log to its token."""

from __future__ import annotations

import datetime
import json
import math
import zoneinfo
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data_validation.reading import to_columns
from components.ingestion.columns.parser import Parser
from components.ingestion.formats.raw_rows import RowError, StoredTime
from tests.components.ingestion.compared_readers import assert_the_same, blocks_of, in_blocks, one_by_one, settings_of
from tests.components.ingestion.ingested import ingest
from tests.trainer.small_deployment import to_example
from tests.transform.small_config import REMOVED, small_config
from tests.transform.time_oracle import ODD_ENDS, TEXTS
from tests.transform.transformed import Transformed
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.config.sources import LabelRule, Source
from transform.derived_times import TimeForm

ISO, CLOCK, DATE, OF_FORM, SECONDS, MILLISECONDS = (
    TimeForm("iso"),
    TimeForm("iso", needs_hour=True),
    TimeForm("day_month_year"),
    TimeForm("%b %d, %Y"),
    TimeForm("epoch_seconds"),
    TimeForm("epoch_milliseconds"),
)
FORMS = (ISO, CLOCK, DATE, OF_FORM, SECONDS, MILLISECONDS)


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (ISO, " 2026-11-28 ", "2026-11-28"),
        (ISO, b"2026-11-28T12:30Z", "2026-11-28T12:30Z"),
        (ISO, datetime.date(2026, 11, 28), "2026-11-28"),
        (ISO, StoredTime(1.5, "1970-01-01 00:00:01Z"), "1970-01-01 00:00:01Z"),
        (ISO, "none", None),
        (ISO, "", None),
        (SECONDS, 1_795_869_005, "1795869005"),
        (SECONDS, 1_795_869_005.0, "1795869005"),
        (SECONDS, 1_795_869_005.25, "1795869005.25"),
        (SECONDS, ("-5",), "-5"),
        (SECONDS, math.nan, None),
        (SECONDS, 99.0, None),  # a null value
        (SECONDS, -0.5, None),
    ],
)
def test_a_time_in_a_row_is_a_text(form: TimeForm, value: Any, expected: str | None) -> None:
    assert _parse(value, form) == expected


@pytest.mark.parametrize(
    ("form", "value", "sentence"),
    [
        (
            ISO,
            "2026-02-30",
            "`x` must be an ISO 8601 date or time, such as 2026-11-28 or 2026-11-28T12:30:05+01:00. "
            "Received: '2026-02-30'",
        ),
        (
            CLOCK,
            "2026-11-28",
            "`x` must be an ISO 8601 time, such as 2026-11-28T12:30:05+01:00. Received: '2026-11-28'",
        ),
        (DATE, "31-Apr-1995", "`x` must be a date such as 01-Jan-1995. Received: '31-Apr-1995'"),
        (
            OF_FORM,
            "Feb 30, 2014",
            "`x` must be a date of the form %b %d, %Y, such as Jan 01, 1970. Received: 'Feb 30, 2014'",
        ),
        (SECONDS, "1e9", "`x` must be seconds since 1970, from 1900 to 2099. Received: '1e9'"),
        (SECONDS, 10**13, "`x` must be seconds since 1970, from 1900 to 2099. Received: '10000000000000'"),
        (SECONDS, math.inf, "`x` must be seconds since 1970, from 1900 to 2099. Received: 'inf'"),
        (
            MILLISECONDS,
            StoredTime(1.0, "1970-01-01 00:00:01"),
            "`x` must be milliseconds since 1970, from 1900 to 2099. Received: '1970-01-01 00:00:01'",
        ),
        (ISO, True, "`x` must be one text. Received: bool 'True'"),
        (None, StoredTime(1.0, "1970"), "`x` must be one text; `derive` takes a part of a time. Received: a time"),
    ],
)
def test_another_value_is_rejected_in_a_sentence(form: TimeForm | None, value: Any, sentence: str) -> None:
    with pytest.raises(RowError) as caught:
        _parse(value, form)
    assert (caught.value.reason, str(caught.value)) == ("bad_type", sentence)


def _parse(value: Any, form: TimeForm | None) -> Any:
    parser = Parser([Column("x", "string", False, form=form)], ("", "none", "99", "-0.5"), "|", Ingestion())
    return parser.parse_row({"x": value})[0]


_TEXTS = st.one_of(*(st.tuples(st.sampled_from(ODD_ENDS), texts).map("".join) for texts in TEXTS.values()))
_JSON: st.SearchStrategy[Any] = st.one_of(
    _TEXTS,
    st.sampled_from(
        [None, True, 0, 99, -5, 1.5, -0.5, 99.0, 1e9, 1e300, 2**53, 2.0**53, 10**13, math.nan, math.inf, []]
    ),
)


def _columns(form: TimeForm) -> tuple[Column, ...]:
    return (Column("id", "string", True), Column("time", "string", False, form=form))


@settings_of(100)
@given(values=st.lists(_JSON, min_size=1, max_size=8), form=st.sampled_from(FORMS), size=st.sampled_from([40, 10_000]))
def test_blocks_of_json_are_read_as_rows_are(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], form: TimeForm, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "derived.jsonl"
    path.write_text("\n".join(json.dumps({"id": "i", "time": value}) for value in values))
    with blocks_of(size):
        assert_the_same(path, "jsonl", _columns(form))


#: In microseconds: 2026-11-28T12:30:05, none, just before 1970, and far before and after.
_INSTANTS = [1_795_869_005_123_456, None, -1, 0, -(2**62), 2**62]
#: Python's dates are those of the years 1 to 9999. Parquet's are numbers of days of 32 bits, whatever Arrow's type.
_FAR_DATES = pa.array([20_785, None, 3_000_000, -3_000_000, 2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32())
_ARRAYS = [
    *(pa.array(_INSTANTS).cast(pa.timestamp(unit, zone)) for unit in ("ms", "us") for zone in (None, "UTC")),
    pa.array([1_795_869_005_123_456_789, None, -1, 0, -(2**62), 2**62]).cast(pa.timestamp("ns", "UTC")),
    pa.array([1_795_869_005, None, -1, 0, -(2**40), 2**40]).cast(pa.timestamp("s", "Europe/Berlin")),
    pa.array([20_785, None, -1, 0, 5, -700_000], pa.int32()).cast(pa.date32()),
    pa.array([20_785, None, -1, 0, 5, 6], pa.int32()).cast(pa.date32()).cast(pa.date64()),
    _FAR_DATES,
    pa.array([1_795_869_005.0, None, -0.5, 1e-9, math.nan, 1e300]),
    pa.array([1_795_869_005, None, 99, 0, -5, 2**60]),
    pa.array(["2026-11-28", None, " 01-Jan-1995", "x", "-1.5", "2026-11-28 10:00"]),
    pa.array(["2026-11-28", None, "01-Jan-1995", "x", "-1.5", "x"]).dictionary_encode(),
    pa.array(_INSTANTS).cast(pa.timestamp("us")).dictionary_encode(),
    pa.array([True, None, False, True, True, True]),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("array", _ARRAYS, ids=lambda array: str(array.type))
def test_blocks_of_parquet_are_read_as_rows_are(tmp_path: Path, array: pa.Array, form: TimeForm) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["i"] * 6, "time": array}), path)
    source = Source(path="x", format="parquet", null_values=("", "99"))
    columns = (*_columns(form), Column("time", "timestamp", False))
    assert in_blocks(path, source, columns, Ingestion()) == one_by_one(path, source, columns, Ingestion())


def test_a_date_that_python_has_no_value_for_is_rejected_and_the_others_are_kept(tmp_path: Path) -> None:
    dates = pa.array([20_785, 3_000_000, -3_000_000, 0], pa.int32()).cast(pa.date32())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["i"] * 4, "time": dates}), path)
    rows, rejections, *_ = in_blocks(path, Source(path="x", format="parquet"), _columns(ISO), Ingestion())
    assert rows == [(1, "i", "2026-11-28"), (4, "i", "1970-01-01")]
    assert [(r.line, r.reason, r.detail) for r in rejections] == [
        (2, "bad_type", f"`time` must be {ISO.words}. Received: 'date32[day] 3000000'"),
        (3, "bad_type", f"`time` must be {ISO.words}. Received: 'date32[day] -3000000'"),
    ]


@pytest.mark.parametrize(
    "array", [_FAR_DATES, pa.array([2**62] * 6).cast(pa.duration("s"))], ids=lambda array: str(array.type)
)
@pytest.mark.parametrize(
    "column",
    [
        Column("time", "string", False),
        Column("time", "list", False),
        Column("time", "float", False),
        Column("times", "one_hot", False, one_hot=("time",)),
        Column("time", "label", True),
        Column("time", "label", True, label_rule=LabelRule(at_least=3)),
        Column("time", "label", True, label_rule=LabelRule(positive=("a",))),
        Column("time", "weight", True),
        Column("time", "timestamp", True),
    ],
    ids=str,
)
def test_no_column_allows_a_value_that_python_has_none_for(tmp_path: Path, array: pa.Array, column: Column) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"time": array}), path)
    source = Source(path="x", format="parquet")
    read = in_blocks(path, source, (column,), Ingestion())
    assert read == one_by_one(path, source, (column,), Ingestion())
    assert {3, 4, 5, 6} <= {rejection.line for rejection in read[1]}


def test_times_that_a_file_stores_are_read_as_iso_8601(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["i"] * 6, "time": _ARRAYS[3]}), path)  # microseconds, in UTC
    rows, rejections, *_ = in_blocks(path, Source(path="x", format="parquet"), _columns(CLOCK), Ingestion())
    texts = ["2026-11-28 12:30:05Z", None, "1969-12-31 23:59:59Z", "1970-01-01 00:00:00Z"]
    assert rows == [(number, "i", text) for number, text in enumerate(texts, 1)]
    assert [rejection.reason for rejection in rejections] == ["bad_type", "bad_type"]


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
#: Around the change to summer time at 01:00 in UTC, and a time before 1970.
STORED = [
    datetime.datetime(2026, 3, 29, 0, 59, 59, 999_999, datetime.UTC),
    datetime.datetime(2026, 3, 29, 1, tzinfo=datetime.UTC),
    datetime.datetime(1969, 7, 20, 20, 17, tzinfo=datetime.UTC),
]
RELEASED = {"chess": "29-Feb-1996", "maps": "01-Jan-1995", "odd": "30-Feb-1995"}


def test_a_time_of_a_log_becomes_the_token_that_python_computes(tmp_path: Path) -> None:
    more = {"kind": "categorical", "vocabulary": {"min_count": 1}}
    zone = {"format": "iso", "time_zone": "Europe/Berlin"}
    config = small_config(
        ("sources.impressions.format", "parquet"),
        ("sources.impressions.path", "log.parquet"),
        ("ingestion.eval_fraction", 0.001),
        ("ingestion.max_rejected_fraction", 0.9),
        ("features.0.vocabulary.min_count", 1),
        ("features.1", more | {"name": "hour", "side": "context", "column": "time", "derive": {"part": "hour"} | zone}),
        (
            "features.2",
            more | {"name": "weekday", "side": "context", "column": "time", "derive": {"part": "weekday"} | zone},
        ),
        (
            "features.3",
            more
            | {"name": "year", "side": "item", "source": "catalog", "column": "released"}
            | {"derive": {"part": "year", "format": "day_month_year"}},
        ),
        ("crosses", REMOVED),
    )
    data = tmp_path / "data"
    data.mkdir()
    times = pa.array(STORED, pa.timestamp("us", "UTC"))
    log = {"request": ["a", "b", "c"], "clicked": [0, 1, 0], "app": ["chess", "maps", "odd"], "time": times}
    pq.write_table(pa.table(log), data / "log.parquet")
    (data / "apps.csv").write_text("\n".join(["app,released", *(f"{app},{day}" for app, day in RELEASED.items())]))

    ingested = ingest(config, data, tmp_path / "out")
    assert [(row["source"], row["reason"]) for row in ingested.rejected] == [("catalog", "bad_type")]
    rows = sorted((row for split in ingested.examples.values() for row in split), key=lambda row: row["request_id"])
    transformed = Transformed(config, rows, tmp_path / "transform")
    tokens = {
        name: [transformed.vocabulary(name)[place] for place in transformed.columns[f"{name}_xf"]]
        for name in ("hour", "weekday", "year")
    }
    local = [time.astimezone(BERLIN) for time in STORED]
    assert tokens == {
        "hour": [str(time.hour) for time in local],
        "weekday": [["mon", "tue", "wed", "thu", "fri", "sat", "sun"][time.weekday()] for time in local],
        "year": ["1996", "1995", "<missing>"],
    }
    # The rules of drift and leaks see the tokens, not the times.
    measured = to_columns([to_example(row) for row in rows], config).tokens
    for name, of_rows in tokens.items():
        codes = measured[name].of_rows()
        assert [measured[name].values[code] if code >= 0 else "<missing>" for code in codes] == of_rows
