"""Guesses which parts of a column's dates and times are features."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.initial_config.samples.sample import shown
from transform.date_forms import MONTHS, why_no_date_form
from transform.derived_times import TimeForm, TimePart

#: The numbers that may be times, in seconds after 1970, from 1973 to 2099, or before it.
_SECONDS = (100_000_000, 4_102_444_800)


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


def parts_of_times(
    values: Iterable[str], *, is_time: bool, is_stored_time: bool, text_forms: Iterable[str] = ()
) -> list[PartOfTime]:
    """Returns the parts of a column's dates or times that differ: year and month, or with a time of day hour, weekday.

    Args:
      values: The column's texts.
      is_time: Whether numbers are times.
      is_stored_time: Whether the file stores times as such.
      text_forms: Further forms that the texts may have, in the directives of strptime.

    Returns:
      The parts; none unless each value is a date or a time of one format.
    """
    texts = sorted(set(values))
    form = _infer_form(texts, is_time, text_forms)
    if form is None:
        return []
    times = [_time(text, form.format) for text in texts]
    derive: dict[str, object] = {"format": form.format}
    of_date = form.date_form
    if form.is_number or is_stored_time or any(time.tzinfo is not None for time in times):
        derive["time_zone"] = "UTC"
    has_clock = form.needs_hour or form.is_number or (of_date is not None and of_date.has_clock)
    parts: tuple[TimePart, ...] = ("hour", "weekday") if has_clock else ("year", "month")
    what = "time" if parts[0] == "hour" else "date"
    found = []
    for part in parts:
        number = len({_value(time, part) for time in times})
        if number > 1:
            reason = f"each value is a {what} such as {shown(texts[0])}; {number:,} different {part}s"
            found.append(PartOfTime(part, {"derive": {"part": part, **derive}, "vocabulary": {}}, reason))
    return found


def _infer_form(texts: list[str], is_time: bool, text_forms: Iterable[str]) -> TimeForm | None:
    forms = [TimeForm("iso", needs_hour=True), TimeForm("iso"), TimeForm("day_month_year")]
    if is_time and texts and all(re.fullmatch(r"-?[0-9]+\.?[0-9]*", text) for text in texts):
        low, high = _SECONDS
        numbers = [abs(float(text)) for text in texts]
        if all(low <= number < high for number in numbers):
            forms.append(TimeForm("epoch_seconds"))
        elif all(low * 1000 <= number < high * 1000 for number in numbers):
            forms.append(TimeForm("epoch_milliseconds"))
    forms += [TimeForm(form) for form in text_forms if not why_no_date_form(form)]
    return next((form for form in forms if texts and all(map(form.matches, texts))), None)


def _time(text: str, time_format: str) -> datetime.datetime:
    if time_format == "iso":
        time = datetime.datetime.fromisoformat(text)
        return time if time.tzinfo is None else time.astimezone(datetime.UTC)
    if time_format == "day_month_year":
        day, month, year = text.split("-")
        return datetime.datetime(int(year), MONTHS.index(month) + 1, int(day))
    if TimeForm(time_format).date_form is not None:
        time = datetime.datetime.strptime(text, time_format)
        return time if time.tzinfo is None else time.astimezone(datetime.UTC)
    seconds = float(text) / (1000 if time_format == "epoch_milliseconds" else 1)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _value(time: datetime.datetime, part: TimePart) -> Any:
    return time.weekday() if part == "weekday" else getattr(time, part)
