"""Derived features: the texts that are times, and their parts, against Python's datetime and zoneinfo."""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import zoneinfo
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transform.small_config import REMOVED, small_config
from tests.transform.time_oracle import ODD_ENDS, TEXTS, first_value
from transform.config.columns import Column
from transform.config.component_configs import for_data_validation, for_ingestion
from transform.config.config import Config
from transform.derived_times import FIRST_YEAR, Derive, TimeForm, zone_offsets
from transform.feature import Feature
from transform.feature_spec import FeatureSpec
from transform.graph.derived_times import derived

PARTS = ("year", "month", "day", "weekday", "hour")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Africa/Casablanca", "Australia/Lord_Howe")

FAST = settings(max_examples=40, deadline=None, derandomize=True)


def in_graph(texts: list[str], derive: Derive) -> list[str | None]:
    parts, is_time = derived(tf.constant(texts, tf.string), derive)
    return [part.decode() if found else None for part, found in zip(parts.numpy(), is_time.numpy(), strict=True)]


def derive_of(time_format: Any, part: Any, zone: str = "UTC") -> Derive:
    of_form = TimeForm(time_format).date_form
    has_clock, is_instant = (time_format != "day_month_year",) * 2
    if of_form is not None:
        has_clock, is_instant = "%H" in time_format or "%I" in time_format, time_format[-1] not in "YypMfH"
    if "%z" in time_format:
        is_instant = True
    part = "day" if not has_clock and part == "hour" else part
    return Derive(part=part, format=time_format, time_zone=zone if is_instant else "UTC")


@pytest.mark.parametrize(
    ("text", "time_format", "zone", "expected"),
    [
        ("2026-11-28", "iso", "Asia/Tokyo", ("2026", "11", "28", "sat", None)),
        ("2026-11-28T23:30", "iso", "Asia/Tokyo", ("2026", "11", "28", "sat", "23")),
        ("2026-11-28 23:30:05.5Z", "iso", "Asia/Tokyo", ("2026", "11", "29", "sun", "8")),
        ("2026-12-31T23:30:00-08", "iso", "Europe/Berlin", ("2027", "1", "1", "fri", "8")),
        ("2024-02-29", "iso", "UTC", ("2024", "2", "29", "thu", None)),
        ("2023-02-29", "iso", "UTC", (None,) * 5),
        ("1850-06-01", "iso", "UTC", ("1850", "6", "1", "sat", None)),
        ("1850-06-01T00:00Z", "iso", "UTC", (None,) * 5),
        ("2026-04-31", "iso", "UTC", (None,) * 5),
        ("20261128", "iso", "UTC", (None,) * 5),
        ("", "iso", "UTC", (None,) * 5),
        ("01-Jan-1995", "day_month_year", "UTC", ("1995", "1", "1", "sun")),
        ("1-Jan-1995", "day_month_year", "UTC", (None,) * 4),
        # Summer time begins in Berlin at 1774746000, 2026-03-29T01:00Z, and ends at 1792890000, 2026-10-25T01:00Z.
        ("1774745999.9", "epoch_seconds", "Europe/Berlin", ("2026", "3", "29", "sun", "1")),
        ("1774746000", "epoch_seconds", "Europe/Berlin", ("2026", "3", "29", "sun", "3")),
        ("1792889999", "epoch_seconds", "Europe/Berlin", ("2026", "10", "25", "sun", "2")),
        ("1792890000", "epoch_seconds", "Europe/Berlin", ("2026", "10", "25", "sun", "2")),
        ("-0.5", "epoch_seconds", "UTC", ("1969", "12", "31", "wed", "23")),
        ("-0", "epoch_seconds", "UTC", ("1970", "1", "1", "thu", "0")),
        ("-1", "epoch_milliseconds", "UTC", ("1969", "12", "31", "wed", "23")),
        ("4102444800000", "epoch_milliseconds", "UTC", (None,) * 5),
        ("1e9", "epoch_seconds", "UTC", (None,) * 5),
        ("Feb 28, 2014", "%b %d, %Y", "UTC", ("2014", "2", "28", "fri")),
        ("FEB 3, 2014", "%b %d, %Y", "UTC", ("2014", "2", "3", "mon")),
        ("Feb 29, 2014", "%b %d, %Y", "UTC", (None,) * 4),
        ("February 28, 2014 12:05 am", "%B %d, %Y %I:%M %p", "UTC", ("2014", "2", "28", "fri", "0")),
        ("Fri Feb 28 23:30:00 -0800 2014", "%a %b %d %H:%M:%S %z %Y", "Europe/Berlin", ("2014", "3", "1", "sat", "8")),
        ("2014-02-28 23:30:00 UTC", "%Y-%m-%d %H:%M:%S UTC", "Asia/Tokyo", ("2014", "3", "1", "sat", "8")),
        ("31.12.68", "%d.%m.%y", "UTC", ("2068", "12", "31", "mon")),
        ("31.12.69", "%d.%m.%y", "UTC", ("1969", "12", "31", "wed")),
        ("2014022817", "%Y%m%d%H", "UTC", ("2014", "2", "28", "fri", "17")),
        ("201422817", "%Y%m%d%H", "UTC", (None,) * 5),  # of a number beside another one no zero is left out
    ],
)
def test_the_parts_of_a_time(text: str, time_format: Any, zone: str, expected: tuple[str | None, ...]) -> None:
    parts = PARTS[: len(expected)]
    found = tuple(in_graph([text], Derive(part=part, format=time_format, time_zone=zone))[0] for part in parts)  # type: ignore[arg-type]
    assert found == expected


@pytest.mark.parametrize("time_format", TEXTS)
@FAST
@given(data=st.data())
def test_any_text_has_the_part_that_python_computes(data: st.DataObject, time_format: Any) -> None:
    texts = data.draw(st.lists(TEXTS[time_format], min_size=1, max_size=20))
    derive = derive_of(time_format, data.draw(st.sampled_from(PARTS)), data.draw(st.sampled_from(ZONES)))
    assert in_graph(texts, derive) == [first_value(text, derive) for text in texts]


@pytest.mark.parametrize("time_format", TEXTS)
@FAST
@given(data=st.data())
def test_arrow_tensorflow_and_python_agree_on_what_is_a_time(data: st.DataObject, time_format: Any) -> None:
    end = st.sampled_from(ODD_ENDS)
    texts = data.draw(st.lists(st.tuples(end, TEXTS[time_format], end).map("".join), min_size=1, max_size=20))
    derive = derive_of(time_format, data.draw(st.sampled_from(PARTS)))
    form = derive.form
    by_python = [form.matches(text) for text in texts]
    assert by_python == [first_value(text, derive) is not None for text in texts]
    assert pc.match_substring_regex(pa.array(texts), form.pattern).to_pylist() == by_python
    assert tf.strings.regex_full_match(texts, form.pattern).numpy().tolist() == by_python


def test_bytes_that_are_no_utf_8_are_no_time() -> None:
    _, is_time = derived(tf.constant([b"2026-11-28\xff", b"\xff"]), Derive(part="year", format="iso"))
    assert is_time.numpy().tolist() == [False, False]


@pytest.mark.parametrize("name", ZONES)
def test_a_zone_s_offsets_are_those_of_its_clocks(name: str) -> None:
    zone, found = zoneinfo.ZoneInfo(name), zone_offsets(name)
    first = int(datetime.datetime(FIRST_YEAR, 1, 1, tzinfo=datetime.UTC).timestamp())
    around = (second for change in found.changes for second in (change - 1, change))
    for second in (first, *around, *range(first, 4_102_444_800, 400_009)):
        offset = datetime.datetime.fromtimestamp(second, zone).utcoffset()
        assert offset == datetime.timedelta(seconds=found.offsets[bisect.bisect(found.changes, second)]), second


#: Two features of one column, one of them with the hour, and a feature that reads the column as it is.
OF_ONE_COLUMN: list[dict[str, Any]] = [
    {"name": "weekday", "derive": {"part": "weekday", "format": "iso", "time_zone": "Asia/Tokyo"}},
    {"name": "hour", "derive": {"part": "hour", "format": "iso"}, "required": True},
    {"name": "month", "derive": {"part": "month", "format": "iso"}},
    {"name": "raw"},
]


def of_one_column() -> Config:
    more: dict[str, Any] = {"side": "item", "kind": "categorical", "column": "time", "vocabulary": {"min_count": 1}}
    return small_config(*((f"features.{at}", more | one) for at, one in enumerate(OF_ONE_COLUMN, 3)))


def test_a_column_s_texts_have_what_every_feature_of_it_needs() -> None:
    (column,) = (c for c in of_one_column().columns["impressions"] if c.name == "time")
    assert column == Column("time", "string", True, form=TimeForm("iso", needs_hour=True))


def test_ingestion_depends_on_the_form_alone_and_validation_on_the_part() -> None:
    config = of_one_column()
    other = dataclasses.replace(
        config, spec=FeatureSpec(tuple(map(_in_london, config.spec.features)), config.spec.crosses)
    )
    assert for_ingestion(other) == for_ingestion(config)
    assert for_ingestion(config).columns == config.columns
    assert for_data_validation(other) != for_data_validation(config)


def _in_london(feature: Feature) -> Feature:
    if feature.derive is None:
        return feature
    return dataclasses.replace(feature, derive=dataclasses.replace(feature.derive, time_zone="Europe/London"))


def test_a_derived_feature_identifies_no_item() -> None:
    release = {"name": "released", "side": "item", "kind": "categorical", "vocabulary": {}}
    year = {"derive": {"part": "year", "format": "iso"}}
    both = small_config(("sources.tables", REMOVED), ("features.2", release))
    assert (both.item_id, small_config(("sources.tables", REMOVED), ("features.2", release | year)).item_id) == (
        None,
        both.spec.by_name["app"],
    )


def test_a_config_with_a_derived_feature_is_read_back_from_its_json() -> None:
    config = of_one_column()
    assert Config.from_json(config.to_json()) == config
