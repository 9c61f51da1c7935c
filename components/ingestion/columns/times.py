"""The rule of timestamps: seconds since 1970, ISO 8601, or a form that the config gives."""

from __future__ import annotations

import datetime
import functools
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.numbers import number_from, numbers_in
from components.ingestion.columns.rule import Rule, SourceRules, all_fallback, null_in, true_in, without
from components.ingestion.formats.blocks import FastColumn, Mask
from components.ingestion.formats.raw_rows import StoredTime
from transform.config.columns import Column
from transform.date_forms import MONTHS

#: 2100-01-01; a later time is more likely milliseconds, and is rejected.
MAX_TIMESTAMP = 4_102_444_800

#: 20260115 is an ISO 8601 date that could also be read as seconds since 1970.
_BASIC_DATE = r"^(19|20)\d{6}$"

#: An ISO 8601 time of day or of a second, in UTC.
_PLAIN_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3}|\.[0-9]{6})?(Z|\+00:00)?$"
_TIME_LENGTH = len("2026-01-31T23:59:59")


_Numbers = npt.NDArray[np.int64]


class Timestamp(Rule):
    """Seconds since 1970, or an ISO 8601 date or time, in UTC if it names no zone; or texts of another form."""

    def __init__(self, column: Column, source: SourceRules):
        super().__init__(column, source)
        self._nulls = np.array(sorted(source.null_times))

    def one(self, value: Any) -> float | None:
        form = self.column.time_format
        if form is not None and not isinstance(value, StoredTime):
            seconds = None if isinstance(value, (bool, float)) else seconds_of(str(value), form)
            if seconds is None:
                raise self.error("bad_type", f"a time of the form {form} from 1970 to 2099", value)
            return seconds
        seconds = None if isinstance(value, str) and re.match(_BASIC_DATE, value) else number_from(value)
        if seconds is None and not isinstance(value, bool):
            seconds = seconds_of(str(value), None)
        if seconds in self.source.null_times:
            return None
        if seconds is None or not 0 <= seconds < MAX_TIMESTAMP:
            raise self.error("bad_type", "seconds since 1970, ISO 8601 or as `timestamp_format` says", value)
        return seconds

    def many(self, raw: pa.Array) -> FastColumn:
        if self.column.time_format is not None:
            return _times_of_form(raw, self.column.time_format)
        times, fallback = _times(raw)
        seconds = np.asarray(pc.fill_null(times, 0.0))
        return FastColumn(pa.array(seconds, mask=null_in(times) | np.isin(seconds, self._nulls)), fallback)


def seconds_of(text: str, form: str | None) -> float | None:
    """Returns the seconds since 1970 of a text.

    Args:
      text: The text.
      form: Its form in the directives of strptime; None for ISO 8601.

    Returns:
      The seconds, from 1970 to 2099 if there is a form; None if the text is of no such time.
    """
    try:
        time = datetime.datetime.fromisoformat(text) if form is None else datetime.datetime.strptime(text, form)
        seconds = (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if form is None or 0 <= seconds < MAX_TIMESTAMP else None


def _times_of_form(raw: pa.Array, form: str) -> FastColumn:
    """Reads each different text once: by a regular expression, or by `seconds_of` if the form has other directives."""
    if not pa.types.is_string(raw.type):
        return all_fallback(raw, pa.float64())
    encoded = raw.dictionary_encode()
    texts = encoded.dictionary
    if (pattern := _pattern(form)) is None:
        seconds = pa.array([seconds_of(text, form) for text in texts.to_pylist()], pa.float64())
    else:
        groups = pc.extract_regex(texts, pattern)
        whole, is_valid = _instants(*(_part(groups, directive) for directive in _DIRECTIVES))
        seconds = pa.array(whole.astype(np.float64), mask=~is_valid | null_in(groups))
    values = seconds.take(encoded.indices)
    return FastColumn(values, null_in(values) & ~null_in(raw))


#: What `strptime` reads as each part of a time, from the year to the second.
_DIRECTIVES = {
    "Y": "[0-9]{4}",
    "m": "1[0-2]|0[1-9]|[1-9]",
    "d": "3[01]|[12][0-9]|0[1-9]|[1-9]",
    "H": "2[0-3]|[01][0-9]|[0-9]",
    "M": "[0-5][0-9]|[0-9]",
    "S": "[0-5][0-9]|[0-9]",
}


@functools.cache
def _pattern(form: str) -> str | None:
    """Returns a regular expression of texts of a form, with a group for each part; None if it has other parts."""
    pattern, left = "^", {**_DIRECTIVES, "b": "|".join(MONTHS)}
    for text in re.findall(r"%.|[^%]+", form):
        if not text.startswith("%"):
            pattern += re.escape(text)
        elif (directive := text[1:]) in left and not (directive in "bm" and ("m" not in left or "b" not in left)):
            pattern += f"(?P<{directive}>{left.pop(directive)})"
        else:
            return None
    return pattern + "$" if form.isascii() else None


def _part(groups: pa.StructArray, directive: str) -> _Numbers:
    """Returns a part of times as numbers, int64 `[n]`; of a month's name its number."""
    names = {field.name for field in groups.type}
    if directive == "m" and "b" in names:
        numbers = pc.add(pc.index_in(groups.field("b"), value_set=pa.array(MONTHS)), 1)
    elif directive in names:
        numbers = pc.if_else(groups.is_valid(), groups.field(directive), "1").cast(pa.int64())
    else:
        return np.zeros(len(groups), np.int64)
    return np.asarray(pc.fill_null(numbers, 0), np.int64)


def _instants(
    year: _Numbers, month: _Numbers, day: _Numbers, hour: _Numbers, minute: _Numbers, second: _Numbers
) -> tuple[_Numbers, Mask]:
    """Returns the seconds since 1970 of times in UTC, int64 `[n]`, and which of them exist, from 1970 to 2099."""
    is_valid = (year >= 1970) & (year < 2100) & (month >= 1) & (month <= 12) & (day >= 1)
    months = (np.clip(year, 1970, 2100) - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    is_valid &= (day <= after - first) & (hour < 24) & (minute < 60) & (second < 60)
    return (first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second, is_valid


def _times(raw: pa.Array) -> FastColumn:
    times = np.zeros(len(raw), bool)
    if pa.types.is_string(raw.type):
        times = true_in(pc.match_substring_regex(raw, _PLAIN_TIME))
    if times.any():
        texts = raw.filter(pa.array(times))
        seconds, is_valid = _seconds(texts)
        fast = _times(without(raw, times))
        values, fallback = np.array(fast.values.fill_null(0.0)), fast.fallback
        values[times] = seconds
        fallback[times] = ~is_valid
        return FastColumn(pa.array(values, mask=null_in(raw)), fallback)
    fast = numbers_in(raw, lambda numbers: (numbers >= 0) & (numbers < MAX_TIMESTAMP))
    if pa.types.is_string(raw.type):
        return FastColumn(fast.values, fast.fallback | true_in(pc.match_substring_regex(raw, _BASIC_DATE)))
    return fast


def _seconds(texts: pa.Array) -> tuple[npt.NDArray[np.float64], Mask]:
    """Returns the seconds since 1970 of texts of the form `_PLAIN_TIME`, and which of them name a time that exists."""
    heads = pc.binary_slice(texts.cast(pa.binary()), 0, _TIME_LENGTH)
    joined = pc.binary_join(pa.array([heads.to_numpy(zero_copy_only=False).tolist()], pa.list_(pa.binary())), b"")
    digits = np.frombuffer(joined[0].as_py(), np.uint8).reshape(-1, _TIME_LENGTH).astype(np.int64) - ord("0")

    def number(start: int, length: int) -> npt.NDArray[Any]:
        return digits[:, start : start + length] @ 10 ** np.arange(length - 1, -1, -1)

    whole, is_valid = _instants(number(0, 4), number(5, 2), number(8, 2), number(11, 2), number(14, 2), number(17, 2))
    # With an end, since pyarrow 18.1 fails without one, "Negative buffer resize".
    rest = pc.binary_slice(texts.cast(pa.binary()), _TIME_LENGTH, 2 * _TIME_LENGTH).cast(pa.string())
    fractions = pc.binary_join_element_wise("0", pc.replace_substring_regex(rest, r"(Z|\+00:00)$", ""), "")
    micro = np.rint(np.asarray(fractions.cast(pa.float64())) * 1e6)
    return (whole * 1_000_000 + micro.astype(np.int64)) / 1_000_000, is_valid
