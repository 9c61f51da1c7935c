"""A derived feature's value from Python's datetime and zoneinfo, and random texts that are times or nearly so."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from decimal import Decimal

from hypothesis import strategies as st

from transform.derived_times import Derive

_ISO = re.compile(r"(\d{4})-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?(\d\d))?)?)?", re.ASCII)
_DAY_MONTH_YEAR = re.compile(r"(\d\d)-([A-Z][a-z]{2})-([1-9]\d{3})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def first_value(text: str, derive: Derive) -> str | None:
    """Returns the part of the time that a text is; None if it is none, or has no such part."""
    try:
        of_form = _of_form if "%" in derive.format else _instant
        time = {"iso": _iso, "day_month_year": _date}.get(derive.format, of_form)(text, derive)
    except ValueError:
        return None
    if time is None:
        return None
    if time.tzinfo is not None:
        time = time.astimezone(zoneinfo.ZoneInfo(derive.time_zone))
    if derive.part == "weekday":
        return ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][time.weekday()]
    return str(getattr(time, derive.part))


def _iso(text: str, derive: Derive) -> datetime.datetime | None:
    found = _ISO.fullmatch(text)
    if found is None or int(found[1]) < 1000 or int(found[7] or 0) > 59 or (derive.part == "hour" and not found[2]):
        return None
    if found[5] and not 1900 <= int(found[1]) < 2100:
        return None
    return datetime.datetime.fromisoformat(text)


def _date(text: str, derive: Derive) -> datetime.datetime | None:
    found = _DAY_MONTH_YEAR.fullmatch(text)
    if found is None:
        return None
    return datetime.datetime(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]))


def _of_form(text: str, derive: Derive) -> datetime.datetime | None:
    """Python reads spaces and other alphabets' digits where they do not belong, and years before 1000."""
    if not text.isascii() or text != text.strip():
        return None
    time = datetime.datetime.strptime(text, derive.format)
    if derive.format.endswith("UTC"):
        time = time.replace(tzinfo=datetime.UTC)
    first, last = (1000, 9999) if time.tzinfo is None else (1900, 2099)
    return time if first <= time.year <= last else None


def _instant(text: str, derive: Derive) -> datetime.datetime | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    whole = int(Decimal(text))
    per_second = 1000 if derive.format == "epoch_milliseconds" else 1
    if not -2_208_988_800 * per_second <= whole < 4_102_444_800 * per_second:
        return None
    seconds = (Decimal(text) / per_second).__floor__()
    return _EPOCH + datetime.timedelta(seconds=seconds)


def _numbers(most: int, width: int = 2) -> st.SearchStrategy[str]:
    return st.integers(0, most).map(lambda number: f"{number:0{width}d}")


_YEARS = st.sampled_from([0, 999, 1000, 1600, 1700, 1899, 1900, 1904, 1945, 1969, 1970, 2000, 2024, 2026, 2099, 2100])
_YEAR = st.one_of(_YEARS, st.integers(1900, 2099), st.integers(0, 9999)).map(lambda year: f"{year:04d}")
_FRACTION = st.sampled_from(["", "", ".5", ".000", ".123456", ".1234567890", ".", ",5"])
_OFFSET = st.one_of(
    st.sampled_from(
        ["", "", "Z", "z", "+01:00", "-08:00", "+0530", "-03", "+23:59", "-23:59", "+24:00", "+01:60", "+1"]
    ),
    st.tuples(st.sampled_from("+-"), _numbers(24), st.sampled_from(["", ":"]), _numbers(60)).map("".join),
)
_DATE = st.tuples(_YEAR, _numbers(13), _numbers(32)).map("-".join)
_CLOCK = st.one_of(
    st.tuples(_numbers(24), _numbers(60)).map(":".join),
    st.tuples(_numbers(24), _numbers(60), _numbers(60)).map(":".join).flatmap(lambda t: _FRACTION.map(lambda f: t + f)),
)
_SECONDS = st.one_of(
    st.sampled_from([0, -1, 1, -2_208_988_800, -2_208_988_801, 4_102_444_799, 4_102_444_800, 10**12]),
    st.integers(-2_300_000_000, 4_200_000_000),
)


def _epochs(per_second: int) -> st.SearchStrategy[str]:
    whole = st.tuples(_SECONDS, st.integers(0, per_second - 1)).map(lambda pair: str(pair[0] * per_second + pair[1]))
    fraction = st.sampled_from(["", "", ".0", ".5", ".25", ".0000001", ".", "e3"])
    return st.tuples(st.sampled_from(["", "", "", "0", "+", "-"]), whole, fraction).map("".join)


#: Times of day that exist, with an offset or without.
_EXISTING = st.tuples(
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2099, 12, 31)).map(datetime.datetime.isoformat),
    st.sampled_from(["", "Z", "+05:30", "-0330", "+14"]),
).map("".join)


def _names(*names: str) -> st.SearchStrategy[str]:
    cases = [case for name in names for case in (name, name.upper(), name.lower(), name.title())]
    return st.sampled_from(cases)


#: By directive, texts that have its form, and others of nearly the same.
_DIRECTIVES = {
    "Y": _YEAR,
    "y": _numbers(99),
    "m": _numbers(13),
    "b": _names(*_MONTHS, "Mai"),
    "B": _names("January", "February", "April", "May", "September", "Sept", "December"),
    "d": _numbers(32),
    "H": _numbers(24),
    "I": _numbers(13),
    "M": _numbers(60),
    "S": _numbers(59),
    "f": st.sampled_from(["0", "5", "123456", "1234567", ""]),
    "p": _names("AM", "PM", "xM"),
    "z": st.sampled_from(["Z", "+0000", "+05:30", "-0330", "+01", ""]),
    "a": _names("Mon", "Sun", "Thu", "Mo"),
}


def _texts_of(form: str) -> st.SearchStrategy[str]:
    """Texts of a form of strptime; where numbers are apart, the leading zero of one may be left out."""
    pieces = re.findall("%.|[^%]+", form)
    drawn = [_DIRECTIVES[piece[1:]] if piece[0] == "%" else st.just(piece) for piece in pieces]
    texts = st.tuples(*drawn).map("".join)
    if "%m%d" in form:
        return texts
    return st.one_of(texts, texts.map(lambda text: re.sub(r"\b0(?=[0-9]\b)", "", text)))


#: Forms that `wdr init` finds in logs.
FORMS = (
    "%b %d, %Y", "%d/%m/%y", "%B %d, %Y %I:%M %p", "%a %b %d %H:%M:%S %z %Y", "%Y%m%d%H", "%Y-%m-%d %H:%M:%S UTC",
    "%Y/%m/%d %H:%M:%S.%f", "%d.%m.%Y %H:%M",
)  # fmt: skip

#: By format, texts that are times, and others of nearly the same form.
TEXTS: dict[str, st.SearchStrategy[str]] = {
    **{form: _texts_of(form) for form in FORMS},
    "iso": st.one_of(
        _DATE, _EXISTING, st.tuples(_DATE, st.sampled_from(["T", "T", " ", "t", ""]), _CLOCK, _OFFSET).map("".join)
    ),
    "day_month_year": st.tuples(
        _numbers(32), st.sampled_from([*_MONTHS, "JAN", "may", "Mai"]), st.one_of(_YEAR, st.just("95"))
    ).map("-".join),
    "epoch_seconds": _epochs(1),
    "epoch_milliseconds": _epochs(1000),
}

#: A text with something before or after it, which makes it none.
ODD_ENDS = ("", "", "", "\n", " ", "x", "\u0661", "\0")
