"""The rules for one row: each column's raw value becomes a typed value, or the row is rejected with a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from transform.config.config import Column
from transform.config.settings import Ingestion
from transform.config.sources import LabelRule
from transform.derived_times import TimeForm
from transform.raw_texts import null_numbers, null_words, trimmed

#: 2100-01-01; a later time is more likely milliseconds, and is rejected.
MAX_TIMESTAMP = 4_102_444_800

#: A larger weight would make one row outweigh all others, and is more likely a mistake.
MAX_WEIGHT = 1_000_000

#: Just below the largest float32, the type of numbers in a tf.Example.
MAX_FLOAT = 3.4e38

#: The number of characters of a rejected row that the quarantine keeps.
MAX_KEPT_CHARACTERS = 65_536


#: 20260115 is an ISO 8601 date that could also be read as seconds since 1970.
_BASIC_DATE = re.compile(r"(19|20)\d{6}$")


class RawRow(NamedTuple):
    """A row as returned by a reader, before parsing.

    Attributes:
      number: In a text file the number of its first line, the file's first line being 1; else the number of the row.
      values: The raw value by column: bytes, str, number, list or None; a tuple where the format does not distinguish
        a list from a single value; a `BadMember` where a path leads through something else than an object. None if
        the row is unreadable.
      reason: A short code for why the row is unreadable; empty if it is readable.
      detail: The reason as text.
      text: The row's text for the quarantine, if `values` is None.
      num_lines: The number of lines that the row spans in a text file.
    """

    number: int
    values: Mapping[str, Any] | None
    reason: str = ""
    detail: str = ""
    text: str = ""
    num_lines: int = 1


class Rejection(NamedTuple):
    """A row that does not become an example, and the reason.

    Attributes:
      source: The source.
      file: The file.
      line: In a text file the number of the row's first line, the file's first line being 1; else the row's number.
      reason: A short code for the reason.
      detail: The reason as text.
      text: The row's text, at most `MAX_KEPT_CHARACTERS` characters.
    """

    source: str
    file: str
    line: int
    reason: str
    detail: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the dict that the quarantine stores."""
        return self._asdict()


def kept_text(text: str) -> str:
    """Prepares a row's text for the quarantine: cuts it, and escapes what is not UTF-8."""
    return text[:MAX_KEPT_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")


class StoredTime(float):
    """A time that a file stores as such: its seconds since 1970.

    Attributes:
      text: The time as an ISO 8601 text without fraction: with a Z if the file stores an instant, else in local time.
    """

    text: str

    def __new__(cls, seconds: float, text: str) -> StoredTime:
        """Returns the seconds with the text."""
        time = super().__new__(cls, seconds)
        time.text = text
        return time


@dataclasses.dataclass(frozen=True)
class OddValue:
    """A value that a file stores and that Python has no value for, such as a date after 9999: no column allows it.

    Attributes:
      words: Its type in the file and its number, for messages.
    """

    words: str

    def __str__(self) -> str:
        return self.words


@dataclasses.dataclass(frozen=True)
class BadMember:
    """The value of a column whose path leads through something else than an object; its row is rejected (`nested`).

    Attributes:
      detail: The rule, and what was received, as text.
    """

    detail: str

    def __repr__(self) -> str:  # in the quarantine's text of the row; `detail` is beside it
        return "<no member>"


class RowError(Exception):
    """A value that breaks its column's rule."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class RowParser:
    """Turns raw rows of one source into tuples of typed values.

    A string is trimmed first if its column says so. It is a missing value if it is then empty or one of the null
    values; a number is a missing value if a null value spells that number. This is the rule of `transform.raw_texts`.
    A label without a `label_rule` is missing by its text only; a time, if a null value spells its seconds since 1970.

    A text of a column from which features are derived must have the column's form (`transform.derived_times`).

    A row's values are in the order of `columns`: str for `string`, tuple of str for `list` and `one_hot`, float for
    `float`, int 0 or 1 for `label`, float for `weight`, float seconds since 1970 for `timestamp`; None for a missing
    value. A flag is 0, 1, true or false in any case of letters, or missing, which counts as 0.
    """

    def __init__(
        self, columns: Sequence[Column], null_values: Sequence[str], list_separator: str, limits: Ingestion
    ) -> None:
        self.columns = tuple(columns)
        self._nulls = {trim: null_words(null_values, trim=trim) for trim in (True, False)}
        self._null_numbers = null_numbers(null_values)
        self._null_times = null_numbers(null_values, np.float64)
        self._separator = list_separator
        self._limits = limits
        parsers: dict[str, Callable[[Any, Column], Any]] = {
            "string": self._string,
            "list": self._list,
            "float": self._float,
            "label": self._label,
            "weight": self._weight,
            "timestamp": self._timestamp,
            "flag": self._flag,
            "one_hot": self._flag,  # of each of its columns
        }
        self._plan = [(c, c.kind == "list", parsers[c.kind]) for c in self.columns]

    def parse(self, raw: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the row's values; raises RowError if one breaks its column's rule."""
        values = []
        for column, is_list, parser in self._plan:
            value = self._one_hot(raw, column, parser) if column.one_hot else self._value(raw, column, is_list, parser)
            if value is None and column.required:
                raise RowError("missing_value", f"`{column.name}` must have a value")
            values.append(value)
        return tuple(values)

    def _value(
        self, raw: Mapping[str, Any], column: Column, is_list: bool, parser: Callable[[Any, Column], Any]
    ) -> Any:
        name = column.name
        value = raw.get(name)
        if isinstance(value, tuple) and not is_list and len(value) == 1:
            value = value[0]
        if isinstance(value, bytes):
            value = self._decode(value, name)
        if isinstance(value, str):
            self._check_length(value, name)
            value = self._text(value, column)
        if isinstance(value, BadMember):
            raise RowError("bad_member", value.detail)
        return None if value is None else parser(value, column)

    def _one_hot(
        self, raw: Mapping[str, Any], column: Column, parser: Callable[[Any, Column], Any]
    ) -> tuple[str, ...] | None:
        names = tuple(flag.name for flag in column.flags if self._value(raw, flag, False, parser))
        self._check_number(names, column.name)
        return names or None

    def _flag(self, value: Any, column: Column) -> bool | None:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        number = float(value) if isinstance(value, bool) else _number(value)
        if number is not None and (math.isnan(number) or self._is_null_number(number)):
            return None
        if number not in (0.0, 1.0):
            raise RowError("bad_type", f"`{column.name}` must be 0, 1, true or false. Received: {str(value)[:40]!a}")
        return number == 1.0

    def _is_null_number(self, number: float) -> bool:
        """Whether a null value spells the number; not of NaN."""
        return bool(self._null_numbers) and abs(number) <= MAX_FLOAT and float(np.float32(number)) in self._null_numbers

    def _text(self, text: str, column: Column) -> str | None:
        """Trims a string if its column says so; returns None for a missing value."""
        text = trimmed(text) if column.trim else text
        return None if text in self._nulls[column.trim] else text

    def _check_number(self, items: Sequence[Any], name: str) -> None:
        limit = self._limits.max_list_values
        if len(items) > limit:
            raise RowError("too_long", f"`{name}` must have at most {limit} values. Received: {len(items)}")

    def _check_length(self, value: str, name: str) -> None:
        limit = self._limits.max_field_bytes
        if len(value) > limit or (len(value) * 4 > limit and len(value.encode("utf-8", "surrogatepass")) > limit):
            raise RowError("too_long", f"`{name}` must have at most {limit} bytes. Received: {len(value)} characters")

    @staticmethod
    def _decode(value: bytes, name: str) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RowError(
                "undecodable", f"`{name}` must be UTF-8 text: {error.reason} at byte {error.start}"
            ) from None

    def _string(self, value: Any, column: Column) -> str | None:
        if column.form is None:
            return self._one_text(value, column)
        if not isinstance(value, str):
            value = _as_time(value, column.form)
            value = self._text(value, column) if isinstance(value, str) else value
        text = None if value is None else self._one_text(value, column)
        if text is not None and not column.form.matches(text):
            raise RowError("bad_type", f"`{column.name}` must be {column.form.words}. Received: {text[:40]!a}")
        return text

    def _one_text(self, value: Any, column: Column) -> str | None:
        name = column.name
        if isinstance(value, str):
            if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value):
                return value
            raise RowError("undecodable", f"`{name}` must be UTF-8 text. Received: {value[:40]!a}")
        if isinstance(value, int) and not isinstance(value, bool):
            return self._text(str(value), column)
        if isinstance(value, StoredTime | datetime.date):
            raise RowError("bad_type", f"`{name}` must be one text; `derive` takes a part of a time. Received: a time")
        if isinstance(value, OddValue):
            raise RowError("bad_type", f"`{name}` must be one text. Received: {value}")
        raise RowError("bad_type", f"`{name}` must be one text. Received: {type(value).__name__} {str(value)[:40]!r}")

    def _list(self, value: Any, column: Column) -> tuple[str, ...] | None:
        name = column.name
        items = value.split(self._separator) if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise RowError("bad_type", f"`{name}` must be a list of texts. Received: {type(value).__name__}")
        self._check_number(items, name)
        texts = []
        for item in items:
            if isinstance(item, bytes):
                item = self._decode(item, name)
            if isinstance(item, str):
                self._check_length(item, name)
                item = self._text(item, column)
            if item is not None and (text := self._string(item, column)) is not None:
                texts.append(text)
        return tuple(texts) or None

    def _float(self, value: Any, column: Column) -> float | None:
        name, number = column.name, _number(value)
        if number is None:
            raise RowError("bad_type", f"`{name}` must be a number. Received: {str(value)[:40]!a}")
        if math.isnan(number):
            return None
        if abs(number) > MAX_FLOAT:
            raise RowError("bad_type", f"`{name}` must be a finite 32-bit number. Received: {str(value)[:40]!a}")
        return None if self._is_null_number(number) else number

    def _label(self, value: Any, column: Column) -> int | None:
        name, rule = column.name, column.label_rule
        if rule is not None and rule.at_least is not None:
            number = _number(value)
            if number is None or math.isnan(number):
                raise RowError("bad_label", f"`{name}` must be a number. Received: {str(value)[:40]!a}")
            return None if self._is_null_number(number) else int(number >= rule.at_least)
        if rule is not None:
            return self._label_of_text(value, column, rule)
        number = float(value) if isinstance(value, bool) else _number(value)
        if number not in (0.0, 1.0):
            raise RowError("bad_label", f"`{name}` must be 0 or 1. Received: {str(value)[:40]!a}")
        return int(number)

    def _label_of_text(self, value: Any, column: Column, rule: LabelRule) -> int:
        text = self._string(value, column)
        if text is None:
            raise RowError("missing_value", f"`{column.name}` must have a value")
        if text in map(trimmed, rule.positive):
            return 1
        if rule.negative and text not in map(trimmed, rule.negative):
            allowed = [*rule.positive, *rule.negative][:20]
            raise RowError("bad_label", f"`{column.name}` must be one of {allowed}. Received: {text[:40]!a}")
        return 0

    def _weight(self, value: Any, column: Column) -> float | None:
        name, number = column.name, _number(value)
        if number is not None and self._is_null_number(number):
            return None
        if number is None or not 0 <= number <= MAX_WEIGHT:
            raise RowError(
                "bad_weight", f"`{name}` must be a number from 0 to {MAX_WEIGHT}. Received: {str(value)[:40]!a}"
            )
        return number

    def _timestamp(self, value: Any, column: Column) -> float | None:
        name = column.name
        seconds = None if isinstance(value, str) and _BASIC_DATE.match(value) else _number(value)
        if seconds is None and not isinstance(value, bool):
            with contextlib.suppress(ValueError):  # rejected below
                time = datetime.datetime.fromisoformat(str(value))
                seconds = (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()
        if seconds in self._null_times:
            return None
        if seconds is None or not 0 <= seconds < MAX_TIMESTAMP:
            raise RowError(
                "bad_type", f"`{name}` must be seconds since 1970 or ISO 8601. Received: {str(value)[:40]!a}"
            )
        return seconds


def _as_time(value: Any, form: TimeForm) -> Any:
    """Returns a time that a file stores as such, or a number where numbers are times, as a text or a whole number."""
    if isinstance(value, StoredTime):
        return value.text
    if isinstance(value, OddValue):
        return value.words
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and form.is_number:
        return None if math.isnan(value) else int(value) if value.is_integer() else repr(value)
    return value


def _number(value: Any) -> float | None:
    """Returns a value as a number, NaN and the infinities included; None if it is not a number."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # Python reads 1_000 as a number
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None
