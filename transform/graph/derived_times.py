"""Computes the values of features that are derived from times (`transform.derived_times`) in a TensorFlow graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from transform.date_forms import FULL_MONTHS, MONTHS, OFFSET, DateForm
from transform.derived_times import WEEKDAYS, Derive, TimeForm, zone_offsets
from transform.feature import Feature
from transform.graph.sparse_values import with_values

_SECONDS_PER_DAY = 86_400


class _Times(NamedTuple):
    """Times: seconds since 1970-01-01T00:00, int64 `[n]`, and whether that is in UTC or in local time, bool `[n]`."""

    seconds: Any
    are_instants: Any


def with_derived(raw: tf.SparseTensor, feature: Feature) -> tf.SparseTensor:
    """The values of a categorical feature from its texts.

    Args:
      raw: The texts, cleaned (`transform.graph.raw_values`), a SparseTensor `[batch, any]` of string.
      feature: The feature.

    Returns:
      Of a derived feature the parts of the times, without the texts that are none; a row's remaining values start at
      the first column. Of another feature `raw`.
    """
    if feature.derive is None:
        return raw
    parts, is_time = derived(raw.values, feature.derive)
    return with_values(raw, parts, is_time)


def derived(texts: tf.Tensor, derive: Derive) -> tuple[tf.Tensor, tf.Tensor]:
    """The parts of times, string `[n]`, and which of the texts, string `[n]`, are times, bool `[n]`.

    The zone's offsets are constants in the graph: those of the time zone database of the machine that made it.
    """
    is_time = tf.strings.regex_full_match(texts, derive.form.pattern)
    texts = tf.where(is_time, texts, tf.constant(derive.form.example))  # instead of a text of another form
    return _part(_local(_times(texts, derive.form), derive.time_zone), derive), is_time


def _times(texts: tf.Tensor, form: TimeForm) -> _Times:
    if (of_date := form.date_form) is not None:
        return _parse_date_form(texts, of_date)
    match form.format:
        case "iso":
            return _parse_iso(texts)
        case "day_month_year":
            return _parse_day_month_year(texts)
        case "epoch_seconds":
            return _from_epoch(texts, 1)
        case _:
            return _from_epoch(texts, 1000)


def _parse_iso(texts: tf.Tensor) -> _Times:
    texts = tf.where(tf.strings.length(texts) == len("2026-11-28"), tf.strings.join([texts, "T00:00"]), texts)
    heads = tf.strings.regex_replace(texts, f"{OFFSET}$", "")
    offsets = tf.strings.substr(texts, tf.strings.length(heads), tf.fill(tf.shape(texts), len("+01:00")))
    has_no_seconds = tf.strings.length(heads) == len("2026-11-28T12:30")
    heads = tf.where(has_no_seconds, tf.strings.join([heads, ":00"]), heads)
    clock = 3600 * _number(heads, 11, 2) + 60 * _number(heads, 14, 2) + _number(heads, 17, 2)
    local = _SECONDS_PER_DAY * _days(_number(heads, 0, 4), _number(heads, 5, 2), _number(heads, 8, 2)) + clock
    has_offset = offsets != ""
    return _Times(local - _offset_seconds(offsets), has_offset)


def _offset_seconds(texts: tf.Tensor) -> tf.Tensor:
    """The seconds of offsets: empty or `Z` for 0, `+01`, `+0100` or `+01:00`."""
    digits = tf.strings.regex_replace(texts, "[^0-9]", "")
    digits = tf.strings.substr(tf.strings.join([digits, "0000"]), 0, 4)
    seconds = 3600 * _number(digits, 0, 2) + 60 * _number(digits, 2, 2)
    return tf.where(tf.strings.regex_full_match(texts, "-.*"), -seconds, seconds)


def _parse_day_month_year(texts: tf.Tensor) -> _Times:
    names = tf.strings.substr(texts, 3, 3)
    months = tf.argmax(tf.cast(names[:, tf.newaxis] == tf.constant(MONTHS), tf.int32), axis=1) + 1
    seconds = _SECONDS_PER_DAY * _days(_number(texts, 7, 4), months, _number(texts, 0, 2))
    return _Times(seconds, tf.zeros_like(seconds, tf.bool))


def _parse_date_form(texts: tf.Tensor, form: DateForm) -> _Times:
    directives = form.directives

    def text(directive: str) -> tf.Tensor:
        return tf.strings.regex_replace(texts, form.part_pattern(directive), r"\1", replace_global=False)

    def number(directive: str) -> tf.Tensor:
        if directive not in directives:
            return tf.zeros(tf.shape(texts), tf.int64)
        return tf.strings.to_number(text(directive), tf.int64)

    year = number("Y")
    if "y" in directives:
        short = number("y")
        year = short + tf.where(short < 69, tf.constant(2000, tf.int64), tf.constant(1900, tf.int64))  # as strptime
    month = number("m")
    for directive, names in (("b", MONTHS), ("B", FULL_MONTHS)):
        if directive in directives:
            lower = tf.constant([name.lower() for name in names])
            equal = tf.strings.lower(text(directive))[:, tf.newaxis] == lower
            month = tf.argmax(tf.cast(equal, tf.int32), axis=1) + 1
    hour = number("H")
    if "I" in directives:
        is_afternoon = tf.strings.lower(text("p")) == "pm"
        hour = number("I") % 12 + 12 * tf.cast(is_afternoon, tf.int64)
    local = _SECONDS_PER_DAY * _days(year, month, number("d")) + 3600 * hour + 60 * number("M") + number("S")
    if "z" in directives:
        local -= _offset_seconds(text("z"))
    return _Times(local, tf.fill(tf.shape(local), form.is_instant))


def _from_epoch(texts: tf.Tensor, per_second: int) -> _Times:
    """Rounds down, since an instant belongs to the second that has begun."""
    whole = tf.strings.to_number(tf.strings.regex_replace(texts, r"\..*", ""), tf.int64)
    is_below = tf.strings.regex_full_match(texts, r"-.*\..*[1-9].*")
    seconds = (whole - tf.cast(is_below, tf.int64)) // per_second
    return _Times(seconds, tf.ones_like(seconds, tf.bool))


def _number(texts: tf.Tensor, start: int, length: int) -> tf.Tensor:
    return tf.strings.to_number(tf.strings.substr(texts, start, length), tf.int64)


def _local(times: _Times, time_zone: str) -> tf.Tensor:
    """The seconds between 1970-01-01T00:00 and what the zone's calendars and clocks show, int64 `[n]`."""
    zone = zone_offsets(time_zone)
    offsets = tf.fill(tf.shape(times.seconds), tf.constant(zone.offsets[0], tf.int64))
    if zone.changes:
        place = tf.searchsorted(tf.constant(zone.changes, tf.int64), times.seconds, side="right")
        offsets = tf.gather(tf.constant(zone.offsets, tf.int64), place)
    return times.seconds + tf.where(times.are_instants, offsets, tf.zeros_like(offsets))


def _part(seconds: tf.Tensor, derive: Derive) -> tf.Tensor:
    days = seconds // _SECONDS_PER_DAY
    match derive.part:
        case "hour":
            return tf.strings.as_string((seconds % _SECONDS_PER_DAY) // 3600)
        case "weekday":
            return tf.gather(tf.constant(WEEKDAYS), (days + 3) % 7)  # 1970-01-01 was a Thursday
        case part:
            return tf.strings.as_string(dict(zip(("year", "month", "day"), _year_month_day(days), strict=True))[part])


# Days are counted in years that begin in March, so that a leap day is a year's last day. The months from March on have
# (153 m + 2) // 5 days before them; 400 years have 146,097 days, and 1970-01-01 is day 719,468 of year 0.


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """The days from 1970-01-01 to dates of the Gregorian calendar."""
    year = year - tf.cast(month <= 2, tf.int64)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719_468


def _year_month_day(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The dates that are some days after 1970-01-01, from year 0 on."""
    days = days + 719_468
    century_of_four, of_era = days // 146_097, days % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = (month + 2) % 12 + 1
    return 400 * century_of_four + year + tf.cast(month <= 2, tf.int64), month, day
