"""Guesses which parts of a column's dates and times are features."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from components.ingestion.columns.times import seconds_of
from pipeline.initial_config.samples.sample import is_number, shown
from transform.derived_times import MONTHS, TimeForm, TimeFormat, TimePart

#: The numbers, in seconds since 1970, that are times if their column's name says so: from 1973 to 2099.
_SECONDS = (100_000_000, 4_102_444_800)


#: The name of a column in a file without a header.
_NO_NAME = re.compile(r"column_\d+")

#: Dates as people and programs write them; of two that read the same texts, the more usual one first.
_DATES = (
    "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m %d, %Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f")
_TIMES = ("%Y-%m-%d %H:%M:%S UTC", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z")


class PartOfTime(NamedTuple):
    """A feature that is derived from a column.

    Attributes:
      part: The part.
      rule: The feature's keys `derive` and `vocabulary`.
      reason: Why, as a comment.
    """

    part: TimePart
    rule: dict[str, object]
    reason: str


def parts_of_times(values: Iterable[str], *, is_named_time: bool, is_stored_time: bool) -> list[PartOfTime]:
    """Returns the parts of a column's dates or times that differ: year and month, or with a time of day hour, weekday.

    Args:
      values: The column's texts.
      is_named_time: Whether the column's name says that it is a time, without which numbers are none.
      is_stored_time: Whether the file stores times as such.

    Returns:
      The parts; none unless each value is a date or a time of one format.
    """
    texts = sorted(set(values))
    form = _infer_form(texts, is_named_time)
    if form is None:
        return []
    times = [_time(text, form.format) for text in texts]
    derive: dict[str, object] = {"format": form.format}
    if form.is_number or is_stored_time or any(time.tzinfo is not None for time in times):
        derive["time_zone"] = "UTC"
    parts: tuple[TimePart, ...] = ("hour", "weekday") if form.needs_hour or form.is_number else ("year", "month")
    what = "time" if parts[0] == "hour" else "date"
    found = []
    for part in parts:
        number = len({_value(time, part) for time in times})
        if number > 1:
            reason = f"each value is a {what} such as {shown(texts[0])}; {number:,} different {part}s"
            found.append(PartOfTime(part, {"derive": {"part": part, **derive}, "vocabulary": {}}, reason))
    return found


def _infer_form(texts: list[str], is_named_time: bool) -> TimeForm | None:
    forms = [TimeForm("iso", needs_hour=True), TimeForm("iso"), TimeForm("day_month_year")]
    if is_named_time and texts and all(re.fullmatch(r"[0-9]+\.?[0-9]*", text) for text in texts):
        low, high = _SECONDS
        numbers = list(map(float, texts))
        if all(low <= number < high for number in numbers):
            forms.append(TimeForm("epoch_seconds"))
        elif all(low * 1000 <= number < high * 1000 for number in numbers):
            forms.append(TimeForm("epoch_milliseconds"))
    return next((form for form in forms if texts and all(map(form.matches, texts))), None)


def _time(text: str, time_format: TimeFormat) -> datetime.datetime:
    if time_format == "iso":
        time = datetime.datetime.fromisoformat(text)
        return time if time.tzinfo is None else time.astimezone(datetime.UTC)
    if time_format == "day_month_year":
        day, month, year = text.split("-")
        return datetime.datetime(int(year), MONTHS.index(month) + 1, int(day))
    seconds = float(text) / (1000 if time_format == "epoch_milliseconds" else 1)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _value(time: datetime.datetime, part: TimePart) -> Any:
    return time.weekday() if part == "weekday" else getattr(time, part)


class TimesOfRows(NamedTuple):
    """How a column has the times of rows.

    Attributes:
      format: The config's `timestamp_format`; None for seconds since 1970 and ISO 8601.
      doubt: What else the format might be, as the end of a comment; an empty text if nothing.
    """

    format: str | None
    doubt: str = ""


def times_of_rows(values: Sequence[str]) -> TimesOfRows | None:
    """Returns how texts are the times of rows, from 1970 to 2099; None if they are not, all in one form."""
    if all(_is_second(text) for text in values) or all(map(is_iso_8601, values)):
        return TimesOfRows(None)
    texts = sorted(set(values))
    found = [form for form in _forms() if all(seconds_of(text, form) is not None for text in texts)]
    if not found:
        return None
    others = f"; it may be {found[1]} too" if len(found) > 1 else ""
    return TimesOfRows(found[0], others)


def is_unnamed_time(column: str, values: Sequence[str]) -> bool:
    """Returns whether whole numbers of a file without a header are the times of rows: seconds of 1995 to 2033."""
    if not _NO_NAME.fullmatch(column) or not all(re.fullmatch(r"\d{9,10}", text) for text in values):
        return False
    return len({*values}) > 1 and all(800_000_000 <= int(text) < 2_000_000_000 for text in values)


def _forms() -> Iterator[str]:
    for date, clock in itertools.product(_DATES, _CLOCKS):
        yield date + clock
    yield from _TIMES


def _is_second(text: str) -> bool:
    low, high = _SECONDS
    return is_number(text) and low <= float(text) < high and not re.fullmatch(r"(19|20)\d{6}", text)


def is_iso_8601(text: str) -> bool:
    """Returns whether a text is a date or a time in ISO 8601, from 1970 to 2099."""
    try:
        return len(text) >= 10 and 1970 <= datetime.datetime.fromisoformat(text).year < 2100
    except ValueError:
        return False
