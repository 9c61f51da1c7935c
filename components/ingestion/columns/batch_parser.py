"""The rules of `rows.RowParser` on whole columns, for the values that are plain.

A value is plain if its meaning needs no second look: a text that is UTF-8 and short enough, a number in the usual
notation. A row with any other value is left to `RowParser`, which alone decides what is rejected and why. So the two
never differ in a verdict, and rows that are out of the ordinary cost what a row costs there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.rows import MAX_FLOAT, MAX_TIMESTAMP, MAX_WEIGHT
from transform.config.config import Column, ColumnKind
from transform.config.settings import Ingestion
from transform.derived_times import TimeForm
from transform.raw_texts import WHITE_SPACE, null_numbers, null_words, trimmed

Mask = npt.NDArray[np.bool_]

#: The Arrow type of a parsed value, by the column's kind.
TYPES: dict[ColumnKind, pa.DataType] = {
    "string": pa.string(),
    "list": pa.list_(pa.string()),
    "float": pa.float64(),
    "label": pa.int8(),
    "weight": pa.float64(),
    "timestamp": pa.float64(),
    "one_hot": pa.list_(pa.string()),
    "flag": pa.bool_(),
}

#: A text that Python and Arrow read as the same number; a text of another form is left to `RowParser`.
_PLAIN_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?$"

#: From here on a float64 does not hold each whole number.
_MAX_EXACT = 2.0**53

#: A text that could be a date: see `rows`.
_BASIC_DATE = r"^(19|20)[0-9]{6}$"

#: An ISO 8601 time of day or of a second, in UTC.
_PLAIN_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3}|\.[0-9]{6})?(Z|\+00:00)?$"
_TIME_LENGTH = len("2026-01-31T23:59:59")


class FastColumn(NamedTuple):
    """A column's values; `fallback` marks those that `RowParser` must decide, whose value here means nothing."""

    values: pa.Array
    fallback: Mask


class BatchParser:
    """Parses columns of raw values of one source.

    Args:
      columns: The source's columns.
      null_values: The source's null values.
      list_separator: The source's list separator.
      limits: The limits `max_field_bytes` and `max_list_values`.
    """

    def __init__(
        self, columns: Sequence[Column], null_values: Sequence[str], list_separator: str, limits: Ingestion
    ) -> None:
        self.columns = tuple(columns)
        self._nulls = {
            trim: pa.array(sorted(null_words(null_values, trim=trim)), pa.string()) for trim in (True, False)
        }
        self._null_numbers = np.array(sorted(null_numbers(null_values)))
        self._null_times = np.array(sorted(null_numbers(null_values, np.float64)))
        self._separator = list_separator
        self._limits = limits

    def parse(self, raw: Callable[[Column], FastColumn]) -> tuple[list[pa.Array], Mask]:
        """Parses rows.

        Args:
          raw: Returns a column's raw values, with the rows marked whose raw value is none of: a UTF-8 text, a number, a
            boolean, a list of texts or numbers, or missing. All columns have the same number of rows.

        Returns:
          The values of each column, of the type in `TYPES`, and the rows that `RowParser` must parse.
        """
        parsed, fallback = [], np.zeros(0, bool)
        for at, column in enumerate(self.columns):
            values, fallback_here = self._one_hot(raw, column) if column.one_hot else self._column(raw, column)
            if column.required:
                fallback_here = fallback_here | _is_null(values)
            fallback = fallback_here if at == 0 else fallback | fallback_here
            parsed.append(values)
        return parsed, fallback

    def _column(self, raw: Callable[[Column], FastColumn], column: Column) -> FastColumn:
        values, fallback = raw(column)
        if pa.types.is_null(values.type):
            values = pa.nulls(len(values), pa.string())
        fast = self._parse(values, column)
        return FastColumn(fast.values, fallback | fast.fallback)

    def _one_hot(self, raw: Callable[[Column], FastColumn], column: Column) -> FastColumn:
        """Lists the names of the columns whose value is 1; null without any."""
        flags = [self._column(raw, flag) for flag in column.flags]
        is_one = np.stack([np.asarray(flag.values) for flag in flags], axis=1)
        lengths = np.count_nonzero(is_one, axis=1)
        names = pa.array(column.one_hot, pa.string()).take(pa.array(np.nonzero(is_one)[1]))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        fallback = np.any([flag.fallback for flag in flags], axis=0) | (lengths > self._limits.max_list_values)
        return FastColumn(pa.ListArray.from_arrays(offsets, names, mask=pa.array(lengths == 0)), fallback)

    def _parse(self, raw: pa.Array, column: Column) -> FastColumn:
        is_text = pa.types.is_string(raw.type)
        if is_text:
            raw, fallback = self._texts(raw, column.trim)
        else:
            fallback = np.zeros(len(raw), bool)
        match column.kind:
            case "string" if column.form is not None:
                fast = self._time(raw, column, column.form)
            case "string":
                fast = self._string(raw, column)
            case "list":
                fast = self._list(raw, column)
            case "float":
                fast = self._float(raw)
            case "label":
                fast = self._label(raw, column)
            case "flag":
                fast = self._flag(raw)
            case "weight":
                fast = self._weight(raw)
            case _:
                fast = self._timestamp(raw)
        return FastColumn(fast.values.cast(TYPES[column.kind], safe=False), fallback | fast.fallback)

    def _texts(self, raw: pa.Array, trim: bool) -> FastColumn:
        """Trims texts, and makes null values null; a text longer than the limit is odd."""
        fallback = _true(pc.greater(pc.binary_length(raw), self._limits.max_field_bytes))
        text = pc.ascii_trim(raw, characters=WHITE_SPACE) if trim else raw
        return FastColumn(without(text, _true(pc.is_in(text, value_set=self._nulls[trim]))), fallback)

    def _string(self, raw: pa.Array, column: Column) -> FastColumn:
        if pa.types.is_string(raw.type):
            return FastColumn(raw, np.zeros(len(raw), bool))
        if pa.types.is_integer(raw.type):
            return self._texts(raw.cast(pa.string()), column.trim)
        return _all_fallback(raw, pa.string())

    def _time(self, raw: pa.Array, column: Column, form: TimeForm) -> FastColumn:
        fallback = np.zeros(len(raw), bool)
        if form.is_number and pa.types.is_floating(raw.type):
            raw, fallback = _whole_numbers(raw)
        texts, fallback_texts = self._string(raw, column)
        is_time = _true(pc.match_substring_regex(texts, form.pattern))
        return FastColumn(texts, fallback | fallback_texts | ~(is_time | _is_null(texts)))

    def _label(self, raw: pa.Array, column: Column) -> FastColumn:
        rule = column.label_rule
        if rule is None:
            return _in_range(raw, lambda numbers: (numbers == 0) | (numbers == 1), pa.types.is_boolean)
        if rule.at_least is not None:
            numbers, is_null, fallback = _numbers(raw)
            labels, fallback = numbers >= rule.at_least, fallback | (~(np.abs(numbers) <= MAX_FLOAT) & ~is_null)
            is_null = is_null | self._null_among(numbers)
        else:
            texts, fallback = self._string(raw, column)
            is_null, labels = _is_null(texts), _is_one_of(texts, rule.positive)
            if rule.negative:
                fallback = fallback | ~(is_null | labels | _is_one_of(texts, rule.negative))
        return FastColumn(pa.array(labels.astype(np.int8), mask=is_null), fallback)

    def _list(self, raw: pa.Array, column: Column) -> FastColumn:
        """Splits texts, or takes lists as they are; drops items that are null values, and makes empty lists null."""
        if pa.types.is_string(raw.type):
            raw = pc.split_pattern(raw, self._separator)
        elif not pa.types.is_list(raw.type):
            return _all_fallback(raw, TYPES["list"])
        lengths = np.asarray(pc.fill_null(pc.list_value_length(raw), 0), np.int64)
        rows = np.repeat(np.arange(len(raw)), lengths)
        items, fallback_items = self._items(raw.flatten(), column.trim)
        fallback = lengths > self._limits.max_list_values
        fallback[rows[fallback_items]] = True
        kept = ~_is_null(items)
        lengths = np.bincount(rows[kept], minlength=len(raw))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        mask = pa.array(lengths == 0)
        return FastColumn(pa.ListArray.from_arrays(offsets, items.drop_null(), mask=mask), fallback)

    def _items(self, items: pa.Array, trim: bool) -> FastColumn:
        if pa.types.is_null(items.type):
            return FastColumn(items.cast(pa.string()), np.zeros(len(items), bool))
        if pa.types.is_integer(items.type):
            items = items.cast(pa.string())
        if pa.types.is_string(items.type):
            return self._texts(items, trim)
        return _all_fallback(items, pa.string())

    def _float(self, raw: pa.Array) -> FastColumn:
        numbers, is_null, fallback = _numbers(raw)
        return FastColumn(
            pa.array(numbers, mask=is_null | self._null_among(numbers)), fallback | (np.abs(numbers) > MAX_FLOAT)
        )

    def _weight(self, raw: pa.Array) -> FastColumn:
        weights, fallback = _in_range(raw, lambda numbers: (numbers >= 0) & (numbers <= MAX_WEIGHT))
        is_null = self._null_among(np.asarray(pc.fill_null(weights, np.nan)))
        return FastColumn(pa.array(np.asarray(pc.fill_null(weights, 0.0)), mask=is_null), fallback)

    def _timestamp(self, raw: pa.Array) -> FastColumn:
        times, fallback = _timestamp(raw)
        seconds = np.asarray(pc.fill_null(times, 0.0))
        return FastColumn(pa.array(seconds, mask=_is_null(times) | np.isin(seconds, self._null_times)), fallback)

    def _flag(self, raw: pa.Array) -> FastColumn:
        """Whether each value is 1; not, if it is missing."""
        is_true = np.zeros(len(raw), bool)
        if pa.types.is_string(raw.type):
            words = pc.ascii_lower(raw)
            is_true = _true(pc.equal(words, "true"))
            raw = without(raw, is_true | _true(pc.equal(words, "false")))
        numbers, is_null, fallback = _numbers(raw, pa.types.is_boolean)
        is_null = is_null | self._null_among(numbers)
        fallback = fallback | ~(is_null | (numbers == 0) | (numbers == 1)) | (np.abs(numbers) > MAX_FLOAT)
        return FastColumn(pa.array(is_true | (~is_null & (numbers == 1))), fallback)

    def _null_among(self, numbers: Any) -> Mask:
        """Which numbers mean a missing value."""
        is_null: Mask = np.isnan(numbers)
        if len(self._null_numbers):
            with np.errstate(over="ignore"):
                is_null |= np.isin(numbers.astype(np.float32).astype(np.float64), self._null_numbers)
        return is_null


def without(values: pa.Array, mask: Mask) -> pa.Array:
    """Returns texts, or binary values, with null where the mask is set."""
    if not mask.any():
        return values
    is_valid = np.concatenate([np.zeros(values.offset, bool), np.asarray(values.is_valid()) & ~mask])
    buffers = [pa.py_buffer(np.packbits(is_valid, bitorder="little")), *values.buffers()[1:]]
    return pa.Array.from_buffers(values.type, len(values), buffers, offset=values.offset)


def _is_null(values: pa.Array) -> Mask:
    return np.asarray(values.is_null())


def _true(mask: pa.Array) -> Mask:
    """Returns a mask as a NumPy array; null is false."""
    return np.asarray(pc.fill_null(mask, False))


def _is_one_of(texts: pa.Array, words: Sequence[str]) -> Mask:
    return _true(pc.is_in(texts, value_set=pa.array([trimmed(word) for word in words], pa.string())))


def _all_fallback(raw: pa.Array, kind: pa.DataType) -> FastColumn:
    """Returns null where the raw value is null, and an odd value elsewhere."""
    return FastColumn(pa.nulls(len(raw), kind), ~_is_null(raw))


def _numbers(raw: pa.Array, may_be: Callable[[pa.DataType], bool] | None = None) -> tuple[Any, Mask, Mask]:
    """Returns float64 numbers, which of them are null, and which are odd; `may_be` allows a further type."""
    is_null = _is_null(raw)
    fallback = np.zeros(len(raw), bool)
    if pa.types.is_string(raw.type):
        fallback = ~_true(pc.match_substring_regex(raw, _PLAIN_NUMBER)) & ~is_null
        numbers = without(raw, fallback)
    elif _is_number(raw.type) or (may_be is not None and may_be(raw.type)):
        numbers = raw
    else:
        return np.zeros(len(raw)), is_null, ~is_null
    numbers = pc.fill_null(numbers.cast(pa.float64(), safe=False), 0.0)
    return np.asarray(numbers), is_null, fallback


def _whole_numbers(raw: pa.Array) -> FastColumn:
    """Returns floating numbers as whole ones, those that are none as odd, and NaN as null."""
    numbers = np.asarray(pc.fill_null(raw.cast(pa.float64()), float("nan")))
    is_null = np.isnan(numbers)
    is_whole = (np.abs(numbers) < _MAX_EXACT) & (np.floor(numbers) == numbers)
    return FastColumn(pa.array(np.where(is_whole, numbers, 0).astype(np.int64), mask=is_null), ~(is_whole | is_null))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _in_range(
    raw: pa.Array, allowed: Callable[[Any], Mask], may_be: Callable[[pa.DataType], bool] | None = None
) -> FastColumn:
    numbers, is_null, fallback = _numbers(raw, may_be)
    fallback = fallback | (~allowed(numbers) & ~is_null)
    return FastColumn(pa.array(np.where(fallback, 0.0, numbers), mask=is_null), fallback)


def _timestamp(raw: pa.Array) -> FastColumn:
    times = np.zeros(len(raw), bool)
    if pa.types.is_string(raw.type):
        times = _true(pc.match_substring_regex(raw, _PLAIN_TIME))
    if times.any():
        texts = raw.filter(pa.array(times))
        seconds, is_valid = _seconds(texts)
        fast = _timestamp(without(raw, times))
        values, fallback = np.array(fast.values.fill_null(0.0)), fast.fallback
        values[times] = seconds
        fallback[times] = ~is_valid
        return FastColumn(pa.array(values, mask=_is_null(raw)), fallback)
    fast = _in_range(raw, lambda numbers: (numbers >= 0) & (numbers < MAX_TIMESTAMP))
    if pa.types.is_string(raw.type):
        return FastColumn(fast.values, fast.fallback | _true(pc.match_substring_regex(raw, _BASIC_DATE)))
    return fast


def _seconds(texts: pa.Array) -> tuple[npt.NDArray[np.float64], Mask]:
    """Returns the seconds since 1970 of texts of the form `_PLAIN_TIME`, and which of them name a time that exists."""
    heads = pc.binary_slice(texts.cast(pa.binary()), 0, _TIME_LENGTH)
    joined = pc.binary_join(pa.array([heads.to_numpy(zero_copy_only=False).tolist()], pa.list_(pa.binary())), b"")
    digits = np.frombuffer(joined[0].as_py(), np.uint8).reshape(-1, _TIME_LENGTH).astype(np.int64) - ord("0")

    def number(start: int, length: int) -> npt.NDArray[Any]:
        return digits[:, start : start + length] @ 10 ** np.arange(length - 1, -1, -1)

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    is_valid = (year >= 1970) & (year < 2100) & (month >= 1) & (month <= 12) & (day >= 1)
    months = (np.clip(year, 1970, 2100) - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    is_valid &= (day <= after - first) & (hour < 24) & (minute < 60) & (second < 60)
    # With an end, since pyarrow 18.1 fails without one, "Negative buffer resize".
    rest = pc.binary_slice(texts.cast(pa.binary()), _TIME_LENGTH, 2 * _TIME_LENGTH).cast(pa.string())
    fractions = pc.binary_join_element_wise("0", pc.replace_substring_regex(rest, r"(Z|\+00:00)$", ""), "")
    micro = np.rint(np.asarray(fractions.cast(pa.float64())) * 1e6)
    whole = ((first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000 + micro.astype(np.int64)
    return whole / 1_000_000, is_valid
