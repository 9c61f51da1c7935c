"""Features that are derived from a date or a time: which texts are read, and which part of the time is the value.

Whether a text is a time is decided by one regular expression for each form, which Arrow and TensorFlow (both RE2) and
Python read alike: ingestion rejects a row with another text, and in the exported graph such a text is a missing value
(`transform.graph.derived_times`, which alone computes the value).
"""

from __future__ import annotations

import datetime
import functools
import re
import zoneinfo
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from transform.date_forms import (
    ANY_YEAR,
    KNOWN_LEAP_YEAR,
    KNOWN_YEAR,
    LEAP_YEAR,
    MONTHS,
    OFFSET,
    DateForm,
    existing_dates,
    why_no_date_form,
)

TimePart = Literal["year", "month", "day", "weekday", "hour"]
TimeFormat = Literal["iso", "day_month_year", "epoch_seconds", "epoch_milliseconds"]

_NAMED_FORMATS: tuple[str, ...] = get_args(TimeFormat)

#: By place, the value of `part: weekday`; Monday is the first, as in ISO 8601.
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: An instant is from this year on, in UTC, and before the other: the times for which a zone's offsets are known.
FIRST_YEAR, AFTER_LAST_YEAR = 1900, 2100

_ZONE_EXAMPLE = "Europe/Berlin"


def _seconds(year: int, month: int, day: int) -> int:
    return int(datetime.datetime(year, month, day, tzinfo=datetime.UTC).timestamp())


#: The instants for which `zone_offsets` holds: a local time of these years may be a day earlier or later in UTC.
_FIRST, _LAST = _seconds(FIRST_YEAR - 1, 12, 30), _seconds(AFTER_LAST_YEAR, 1, 3)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", str_strip_whitespace=False))
class Derive:
    """Which part of a date or a time is a feature's value.

    Attributes:
      part: The part: `year`, `month` (1 to 12), `day` of the month, `hour` (0 to 23), as numbers without leading zeros,
        or `weekday`: mon, tue, wed, thu, fri, sat, sun.
      format: The form of the column's texts. `iso`: `2026-11-28`, or with a time of day, `2026-11-28T12:30:05.250Z`,
        where a space may stand for the T, and seconds, fraction and offset (`Z`, `+01:00`, `+0100`, `+01`) may be left
        out. `day_month_year`: `01-Jan-1995`. `epoch_seconds` and `epoch_milliseconds`: a number since 1970 in UTC,
        which may be negative or have a fraction. Or the directives of Python's strptime, as in `timestamp_format`, such
        as `%b %d, %Y` for `Feb 28, 2014`.
      time_zone: The IANA name of the zone whose date and clock count, such as `Europe/Berlin`. It is for epochs and for
        texts with an offset; a text without one is local time as it is.
    """

    part: TimePart
    format: Annotated[str, Field(max_length=100)]
    time_zone: Annotated[str, Field(max_length=100)] = "UTC"

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, text: str) -> str:
        if text not in _NAMED_FORMATS and (why := why_no_date_form(text)):
            raise ValueError(f"must be {', '.join(_NAMED_FORMATS)} or the form of a date, such as %b %d, %Y: {why}")
        return text

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, name: str) -> str:
        if name not in _zone_names():
            raise ValueError(f"must be the IANA name of a time zone, such as {_ZONE_EXAMPLE}")
        return name

    @model_validator(mode="after")
    def _part_is_in_format(self) -> Derive:
        of_date = TimeForm(self.format).date_form
        if of_date is not None:
            has_clock, is_instant = of_date.has_clock, of_date.is_instant
        else:
            has_clock = is_instant = self.format != "day_month_year"
        if self.part == "hour" and not has_clock:
            raise ValueError(f"`part: hour` needs a time of day, which `format: {self.format}` lacks")
        if self.time_zone != "UTC" and not is_instant:
            what = "times" if has_clock else "dates"
            raise ValueError(f"`time_zone` goes with the other formats; `format: {self.format}` has local {what}")
        return self

    @property
    def meaning(self) -> str:
        """What the values stand for, whatever the form of the texts."""
        return meaning_of(self.part, self.time_zone)

    @property
    def form(self) -> TimeForm:
        """The texts that have the part."""
        return TimeForm(self.format, self.part == "hour")


def meaning_of(part: str, time_zone: str) -> str:
    """Returns `Derive.meaning`: with another one, the same value, such as 12, stands for something else."""
    return f"{part} {time_zone}"


class TimeForm(NamedTuple):
    """A form of texts.

    Attributes:
      format: The format.
      needs_hour: Whether a date without a time of day is none of them.
    """

    format: str
    needs_hour: bool = False

    @property
    def date_form(self) -> DateForm | None:
        """The form of strptime; None of a format with a name."""
        return None if self.format in _NAMED_FORMATS else DateForm(self.format)

    @property
    def pattern(self) -> str:
        """A regular expression that matches these texts whole, and no other text: the 30th of February is none."""
        return f"^(?:{_pattern(self)})$"

    @property
    def words(self) -> str:
        """What a text must be, for a message."""
        if (of_date := self.date_form) is not None:
            return f"a date of the form {self.format}, such as {of_date.example}"
        return {
            "iso": "an ISO 8601 time, such as 2026-11-28T12:30:05+01:00"
            if self.needs_hour
            else "an ISO 8601 date or time, such as 2026-11-28 or 2026-11-28T12:30:05+01:00",
            "day_month_year": "a date such as 01-Jan-1995",
            "epoch_seconds": f"seconds since 1970, from {FIRST_YEAR} to {AFTER_LAST_YEAR - 1}",
            "epoch_milliseconds": f"milliseconds since 1970, from {FIRST_YEAR} to {AFTER_LAST_YEAR - 1}",
        }[self.format]

    @property
    def example(self) -> str:
        """The text of 1970-01-01T00:00."""
        if (of_date := self.date_form) is not None:
            return of_date.example
        return {"iso": "1970-01-01T00:00", "day_month_year": "01-Jan-1970"}.get(self.format, "0")

    @property
    def is_number(self) -> bool:
        """Whether these texts are numbers."""
        return self.format in ("epoch_seconds", "epoch_milliseconds")

    def matches(self, text: str) -> bool:
        """Returns whether a text has this form."""
        return _compiled(self).fullmatch(text) is not None


class ZoneOffsets(NamedTuple):
    """A time zone's offsets from UTC, from `FIRST_YEAR` to `AFTER_LAST_YEAR`.

    Attributes:
      changes: When the offset changes, ascending, in seconds since 1970 in UTC.
      offsets: The offsets in seconds: before the first change, and from each change on.
    """

    changes: tuple[int, ...]
    offsets: tuple[int, ...]


@functools.cache
def zone_offsets(name: str) -> ZoneOffsets:
    """Returns the offsets of a time zone by its IANA name, as this machine's time zone database has them."""
    zone = zoneinfo.ZoneInfo(name)
    changes: list[int] = []
    offsets = [_offset_at(_FIRST, zone)]
    # No zone changes twice within a day.
    for day in range(_FIRST, _LAST, 86_400):
        if (offset := _offset_at(day + 86_400, zone)) != offsets[-1]:
            before, change = day, day + 86_400
            while change - before > 1:
                middle = (before + change) // 2
                before, change = (middle, change) if _offset_at(middle, zone) == offsets[-1] else (before, middle)
            changes.append(change)
            offsets.append(offset)
    return ZoneOffsets(tuple(changes), tuple(offsets))


def _offset_at(second: int, zone: zoneinfo.ZoneInfo) -> int:
    offset = datetime.datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None  # a ZoneInfo has one at any time
    return int(offset.total_seconds())


@functools.cache
def _zone_names() -> frozenset[str]:
    # These two are not of a place: the machine's own zone, and the one of a machine that has none.
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


@functools.cache
def _compiled(form: TimeForm) -> re.Pattern[str]:
    return re.compile(_pattern(form))


def _pattern(form: TimeForm) -> str:
    match form.format:
        case "epoch_seconds":
            return _number(_seconds(FIRST_YEAR, 1, 1), _seconds(AFTER_LAST_YEAR, 1, 1) - 1)
        case "epoch_milliseconds":
            return _number(_seconds(FIRST_YEAR, 1, 1) * 1000, _seconds(AFTER_LAST_YEAR, 1, 1) * 1000 - 1)
        case "day_month_year":
            return existing_dates("{day}-{month}-{year}".format, ANY_YEAR, LEAP_YEAR, MONTHS)
    if (of_date := form.date_form) is not None:
        return of_date.pattern
    months = [f"{month:02d}" for month in range(1, 13)]
    order = "{year}-{month}-{day}".format
    date, instant = (
        existing_dates(order, *years, months) for years in ((ANY_YEAR, LEAP_YEAR), (KNOWN_YEAR, KNOWN_LEAP_YEAR))
    )
    local = f"(?:{date}){_CLOCK}" if form.needs_hour else f"(?:{date})(?:{_CLOCK})?"
    return f"{local}|(?:{instant}){_CLOCK}{OFFSET}"


_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"


def _number(least: int, most: int) -> str:
    """Returns a pattern of the numbers whose whole part is from a negative to a positive bound."""
    return rf"(?:-(?:{_up_to(-least)})|(?:{_up_to(most)}))(?:\.[0-9]+)?"


def _up_to(bound: int) -> str:
    """Returns a pattern of the whole numbers from 0 to a bound, without leading zeros."""
    digits = str(bound)
    parts = ["0", f"[1-9][0-9]{{0,{len(digits) - 2}}}"]
    for place, digit in enumerate(digits):
        lowest = 1 if place == 0 else 0
        if int(digit) > lowest:
            left = len(digits) - place - 1
            parts.append(f"{digits[:place]}[{lowest}-{int(digit) - 1}][0-9]{{{left}}}")
    return "|".join([*parts, digits])
