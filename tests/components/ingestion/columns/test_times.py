"""Times of a form that the config gives: read block by block as row by row."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from components.ingestion.columns.times import seconds_of
from tests.components.ingestion.compared_readers import LIMITS, in_blocks, one_by_one
from transform.config.columns import Column
from transform.config.sources import Source


@pytest.mark.parametrize(
    ("text", "form", "seconds"),
    [
        ("Feb 28, 2014", "%b %d, %Y", 16_129 * 86_400),  # 44 years of 365 days, 11 leap days, 31 and 27 days
        ("28.02.2014 00:01", "%d.%m.%Y %H:%M", 16_129 * 86_400 + 60),
        ("28/02/2014 01:00 +0100", "%d/%m/%Y %H:%M %z", 16_129 * 86_400),
        ("Feb 30, 2014", "%b %d, %Y", None),
        ("Dec 31, 1969", "%b %d, %Y", None),
        ("Jan 1, 2100", "%b %d, %Y", None),
        ("2014-02-28", "%b %d, %Y", None),
    ],
)
def test_a_text_of_a_form(text: str, form: str, seconds: float | None) -> None:
    assert seconds_of(text, form) == seconds


@pytest.mark.parametrize("required", [True, False])
def test_a_column_of_a_form(tmp_path: Path, required: bool) -> None:
    path = tmp_path / "log.csv"
    path.write_text('time;n\n Feb 28, 2014;1\nFeb 30, 2014;2\n;3\n1393545600;4\n"Mar 1, 2014";5\n')
    source = Source(path="log.csv", format="csv", text={"delimiter": ";"})  # type: ignore[arg-type]
    columns = (Column("time", "timestamp", required, time_format="%b %d, %Y"),)
    rows, rejections, *rest = in_blocks(path, source, columns, LIMITS)
    assert (rows, rejections, *rest) == one_by_one(path, source, columns, LIMITS)
    missing = [] if required else [(4, None)]
    assert rows == [(2, 16_129 * 86_400.0), *missing, (6, 16_130 * 86_400.0)]
    details = [rejection.detail for rejection in rejections if rejection.reason == "bad_type"]
    rule = "`time` must be a time of the form %b %d, %Y from 1970 to 2099"
    assert details == [f"{rule}. Received: 'Feb 30, 2014'", f"{rule}. Received: '1393545600'"]


@pytest.mark.parametrize(
    "form", ["%b %d, %Y", "%d.%m.%Y %H:%M", "%Y%m%d", "%m/%d/%y", "%I:%M %p, %Y-%m-%d", "%m %b %d %Y"]
)
def test_blocks_of_odd_texts_of_a_form_are_read_as_rows_are(tmp_path: Path, form: str) -> None:
    times = [datetime.datetime(1969 + i * 7 % 140, i % 12 + 1, i % 28 + 1, i % 24, i * 7 % 60) for i in range(300)]
    texts = [time.strftime(form) for time in times]
    for old, new in (("0", ""), (" ", "  "), ("1", "3"), ("2", "\u0662"), ("b", "B"), ("20", "1")):
        texts += [text.replace(old, new, 1) for text in texts[:300]]
    path = tmp_path / "log.csv"
    path.write_text("time\n" + "".join(f"{text}\n" for text in texts))
    source = Source(path="log.csv", format="csv", text={"delimiter": ";"})  # type: ignore[arg-type]
    columns = (Column("time", "timestamp", True, time_format=form),)
    found = in_blocks(path, source, columns, LIMITS)
    assert found == one_by_one(path, source, columns, LIMITS)
    assert len(found[0]) > 200
    assert found[1]
