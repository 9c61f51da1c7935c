"""Finds the times of rows in a column by its values, whatever its name, and says why some cannot be used as such."""

from __future__ import annotations

import datetime
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from components.ingestion.columns.times import MAX_TIMESTAMP, seconds_of
from pipeline.initial_config.samples.sample import is_number, shown

#: Seconds since 1970 that are times if the column's name says so, from 1973 to 2099, and by their values alone, from
#: 1995 to 2033.
_NAMED_SECONDS, _SECONDS = (100_000_000, MAX_TIMESTAMP), (800_000_000, 2_000_000_000)

#: The units in which programs write times since 1970: the number of them in a second.
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}

#: The days since 1900 as which spreadsheets store the dates from 1982 to 2064.
_SHEET_DAYS = (30_000, 60_000)

#: Of a column of times, so many of the rows that have a value have a time of one form.
_MIN_SHARE = 0.9

#: The different values by which a form is found before it is tried on all.
_NUM_TRIED = 20

#: Times are seldom whole thousands of seconds, not even those of midnights; large amounts of money often are.
_ROUND_SECONDS, _MAX_ROUND_SHARE = 1000, 0.5

#: A form with two meanings has the less usual one if its times lie in less than this share of the other's span.
_SHORTER = 0.5

#: Dates as people and programs write them; of two that read the same texts, the more usual one first.
_DATES = (
    "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y",
    "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m %d, %Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%y-%m-%d",
)  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f")
_TIMES = (
    "%Y-%m-%d %H:%M:%S UTC", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S %z", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M",
)  # fmt: skip
_FORMS = (*(date + clock for date, clock in itertools.product(_DATES, _CLOCKS)), *_TIMES)
_DIGITS = {8: ("%Y%m%d", "%y%m%d%H"), 10: ("%Y%m%d%H",), 12: ("%Y%m%d%H%M",), 14: ("%Y%m%d%H%M%S",)}

#: What the text of a date begins with: a number, or the name of a weekday or a month.
_BEGINNING = re.compile(r"\d{1,4}[-/. :]|\d{8}[ T]|[A-Z][a-z]{2,8}[ ,]")


class RowTimes(NamedTuple):
    """The times of a column.

    Attributes:
      format: The config's `timestamp_format`; None for seconds since 1970 and ISO 8601.
      reason: What they are, as the end of a comment; an empty text if there is nothing to say beside one of them.
      example: The first text that is one of them.
      why_not: Why they cannot be taken for the times of the rows; an empty text if they can.
    """

    format: str | None
    example: str
    reason: str = ""
    why_not: str = ""


class _Form(NamedTuple):
    """How texts are times: what reads one, in seconds since 1970; and why a run cannot read them, if it cannot."""

    seconds: Callable[[str], float | None]
    format: str | None
    has_clock: bool
    words: str
    why_not: str = ""


def find_row_times(texts: Sequence[str], *, is_named: bool, owner: str = "") -> RowTimes | None:
    """Finds times in a column.

    Nine in ten of the values must be times of one form. Numbers of seconds since 1970 lie between 1995 and 2033, or
    between 1973 and 2099 if the column's name says that it is a time; so do those of finer units. Without such a name,
    dates without a time of day need not be the rows', as a date of birth, nor need the times of a user or an item.

    Args:
      texts: Each row's text, an empty one for none.
      is_named: Whether the column's name says that it is a time.
      owner: Whose the time is by the column's name, such as "item"; an empty text for the row's.

    Returns:
      What was found; None if the values are no times.
    """
    counts = Counter(text for text in texts if text)
    if len(counts) < 2:
        return None
    distinct = sorted(counts)
    tried = [distinct[at] for at in np.random.default_rng(0).permutation(len(distinct))[:_NUM_TRIED].tolist()]
    form, doubt = _form_of(counts, tried, is_named)
    if form is None:
        return None
    seconds = {text: found for text in counts if (found := form.seconds(text)) is not None}
    if sum(counts[text] for text in seconds) < _MIN_SHARE * counts.total():
        return None
    num_round = sum(counts[text] for text, found in seconds.items() if found % _ROUND_SECONDS == 0)
    are_numbers = all(map(is_number, tried))
    if not is_named and are_numbers and num_round > _MAX_ROUND_SHARE * counts.total():
        return None
    first, last = (_day(found) for found in (min(seconds.values()), max(seconds.values())))
    reason = doubt if is_named else f"{doubt}; by its values alone: {form.words}, from {first} to {last}"
    why_not = list(filter(None, [form.why_not, _why_not_all(texts, seconds)]))
    if not is_named and owner:
        why_not.append(f"by its name a time of the {owner}; if it is the row's, declare it as the `timestamp`")
    elif not is_named and not form.has_clock:
        why_not.append("by its name no date of the row; if it is one, declare it as the `timestamp`")
    example = next(text for text in texts if text in seconds)
    return RowTimes(form.format, example, reason, "; ".join(why_not))


def _form_of(counts: Mapping[str, int], tried: Sequence[str], is_named: bool) -> tuple[_Form | None, str]:
    """Returns the form of most of the values that are tried, and what else it may be."""
    few = math.ceil(0.8 * len(tried))
    numbers = [text for text in tried if is_number(text)]
    if len(numbers) >= few:
        forms = [*_digit_forms(numbers[0], is_named), *_number_forms(is_named)]
    elif sum(map(bool, map(_BEGINNING.match, tried))) >= few:
        forms = [_Form(_iso, None, any(":" in text for text in tried), "times in ISO 8601"), *_text_forms()]
    else:
        return None, ""
    found = [form for form in forms if sum(form.seconds(text) is not None for text in tried) >= few]
    if len(found) < 2 or found[0].format is None or found[1].format is None:
        return (found[0] if found else None), ""
    spans = [_span(form, counts) for form in found[:2]]
    form, other = found[:2] if spans[1] >= _SHORTER * spans[0] else found[1::-1]
    return form, f"; it may be {other.format} too"


def _digit_forms(example: str, is_named: bool) -> Iterator[_Form]:
    low, high = (0, MAX_TIMESTAMP) if is_named else _SECONDS
    for form in _DIGITS.get(len(example), ()):

        def seconds(text: str, form: str = form) -> float | None:
            found = seconds_of(text, form) if text.isdecimal() and len(text) == len(example) else None
            return None if found is None or not low <= found < high else found

        yield _Form(seconds, form, "%H" in form, f"times of the form {form}")


def _number_forms(is_named: bool) -> Iterator[_Form]:
    low, high = _NAMED_SECONDS if is_named else _SECONDS
    of_units = {unit: _numbers(low, high, in_second) for unit, in_second in _UNITS.items()}
    for unit, seconds in of_units.items():
        why_not = "" if unit == "seconds" else f"{unit} since 1970, and a `timestamp` has seconds"
        yield _Form(seconds, None, True, f"{unit} since 1970", why_not)
    if is_named:

        def any_unit(text: str) -> float | None:
            return next((found for seconds in of_units.values() if (found := seconds(text)) is not None), None)

        yield _Form(any_unit, None, True, "", "numbers since 1970 in several units, and a `timestamp` has seconds")
        yield _Form(_numbers(-high, -low), None, True, "", "seconds before 1970, and a `timestamp` is later")
        why_not = "days since 1900, as spreadsheets store dates, and a `timestamp` has texts such as 2026-01-31"
        yield _Form(_numbers(*_SHEET_DAYS), None, True, "", why_not)


def _numbers(low: float, high: float, in_second: int = 1) -> Callable[[str], float | None]:
    def seconds(text: str) -> float | None:
        found = float(text) / in_second if is_number(text) else math.nan
        return found if low <= found < high else None

    return seconds


def _text_forms() -> Iterator[_Form]:
    for form in _FORMS:

        def seconds(text: str, form: str = form) -> float | None:
            return seconds_of(text, form)

        yield _Form(seconds, form, "%H" in form or "%I" in form, f"times of the form {form}")


def _iso(text: str) -> float | None:
    return seconds_of(text, None) if is_iso_8601(text) else None


def text_forms(text: str) -> Iterator[str]:
    """Yields the forms that a text may have if it is a date with a year of four digits, the more usual ones first."""
    if _BEGINNING.match(text):
        yield from (form for form in _FORMS if "%Y" in form)


def is_iso_8601(text: str) -> bool:
    """Returns whether a text is a date or a time in ISO 8601, from 1970 to 2099."""
    try:
        return len(text) >= 10 and 1970 <= datetime.datetime.fromisoformat(text).year < 2100
    except ValueError:
        return False


def _span(form: _Form, counts: Mapping[str, int]) -> float:
    found = [seconds for text in counts if (seconds := form.seconds(text)) is not None]
    return max(found) - min(found)


def _why_not_all(texts: Sequence[str], seconds: Mapping[str, float]) -> str:
    """Returns which rows have no time of the form; an empty text if all have one."""
    missing = [at for at, text in enumerate(texts) if text not in seconds]
    if not missing:
        return ""
    odd = next((texts[at] for at in missing if texts[at]), None)
    such = "" if odd is None else f", such as {shown(odd)}"
    return f"no time of one form in {len(missing):,} of {len(texts):,} rows, first in row {missing[0] + 1:,}{such}"


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
