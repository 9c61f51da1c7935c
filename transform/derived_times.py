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
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

TimePart = Literal["year", "month", "day", "weekday", "hour"]
TimeFormat = Literal["iso", "day_month_year", "epoch_seconds", "epoch_milliseconds"]

#: By place, the value of `part: weekday`; Monday is the first, as in ISO 8601.
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: By place, the names of months in the format `day_month_year`, whatever the machine's language.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

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
        which may be negative or have a fraction.
      time_zone: The IANA name of the zone whose date and clock count, such as `Europe/Berlin`. It is for epochs and for
        texts with an offset; a text without one is local time as it is.
    """

    part: TimePart
    format: TimeFormat
    time_zone: Annotated[str, Field(max_length=100)] = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, name: str) -> str:
        if name not in _zone_names():
            raise ValueError(f"must be the IANA name of a time zone, such as {_ZONE_EXAMPLE}")
        return name

    @model_validator(mode="after")
    def _part_is_in_format(self) -> Derive:
        if self.format == "day_month_year":
            if self.part == "hour":
                raise ValueError("`part: hour` needs a time of day, which `format: day_month_year` lacks")
            if self.time_zone != "UTC":
                raise ValueError("`time_zone` goes with the other formats; `format: day_month_year` has local dates")
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

    format: TimeFormat
    needs_hour: bool = False

    @property
    def pattern(self) -> str:
        """A regular expression that matches these texts whole, and no other text: the 30th of February is none."""
        return f"^(?:{_pattern(self)})$"

    @property
    def words(self) -> str:
        """What a text must be, for a message."""
        return {
            "iso": "an ISO 8601 time, such as 2026-11-28T12:30:05+01:00"
            if self.needs_hour
            else "an ISO 8601 date or time, such as 2026-11-28 or 2026-11-28T12:30:05+01:00",
            "day_month_year": "a date such as 01-Jan-1995",
            "epoch_seconds": f"seconds since 1970, from {FIRST_YEAR} to {AFTER_LAST_YEAR - 1}",
            "epoch_milliseconds": f"milliseconds since 1970, from {FIRST_YEAR} to {AFTER_LAST_YEAR - 1}",
        }[self.format]

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
            return _date("{day}-{month}-{year}", _ANY_YEAR, _LEAP_YEAR, MONTHS)
    months = [f"{month:02d}" for month in range(1, 13)]
    any_date, date = "{year}-{month}-{day}", _date("{year}-{month}-{day}", _ANY_YEAR, _LEAP_YEAR, months)
    instant = _date(any_date, _KNOWN_YEAR, _KNOWN_LEAP_YEAR, months)
    local = f"(?:{date}){_CLOCK}" if form.needs_hour else f"(?:{date})(?:{_CLOCK})?"
    return f"{local}|(?:{instant}){_CLOCK}{OFFSET}"


_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"

#: An offset from UTC, at the end of a text that has a time of day.
OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"

_ANY_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|[2468][048]|[3579][26])00)"

#: From `FIRST_YEAR` until before `AFTER_LAST_YEAR`.
_KNOWN_YEAR = "(?:19|20)[0-9]{2}"
_KNOWN_LEAP_YEAR = "(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)"


def _date(order: str, year: str, leap_year: str, months: Sequence[str]) -> str:
    """Returns a pattern of the dates that exist, in the order of `{year}`, `{month}` and `{day}`."""

    def of(numbers: Sequence[int], days: str, years: str = year) -> str:
        some = "|".join(months[number - 1] for number in numbers)
        return order.format(year=years, month=f"(?:{some})", day=f"(?:{days})")

    return "|".join(
        [
            of([1, 3, 5, 7, 8, 10, 12], "0[1-9]|[12][0-9]|3[01]"),
            of([4, 6, 9, 11], "0[1-9]|[12][0-9]|30"),
            of([2], "0[1-9]|1[0-9]|2[0-8]"),
            of([2], "29", leap_year),
        ]
    )


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
