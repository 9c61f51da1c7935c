"""The base of the rules of columns: what is the same for every kind.

A rule parses the values of a whole column at once, on the fast path, or one value, as the fallback. The fast path is
for values whose meaning needs no second look: a text that is UTF-8 and short enough, a number in the usual notation. A
row with any other value needs the fallback, which alone decides what is rejected and why. So the two never differ in a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.blocks import FastColumn, Mask
from components.ingestion.formats.raw_rows import BadMember, RowError
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.raw_texts import WHITE_SPACE, null_numbers, null_words, trimmed

#: Just below the largest float32, the type of numbers in a tf.Example.
MAX_FLOAT = 3.4e38


class SourceRules:
    """What the rules of a source's columns share: null values, and limits.

    A number is a missing value if a null value spells that number; a time, if a null value spells its seconds.

    Attributes:
      separator: What parts the items of a list in a text.

    Args:
      null_values: The source's null values.
      list_separator: The source's list separator.
      limits: The limits `max_field_bytes` and `max_list_values`.
    """

    def __init__(self, null_values: Sequence[str], list_separator: str, limits: Ingestion):
        self.separator = list_separator
        self.max_bytes, self.max_items = limits.max_field_bytes, limits.max_list_values
        self._words = {trim: null_words(null_values, trim=trim) for trim in (True, False)}
        self._word_sets = {trim: pa.array(sorted(words), pa.string()) for trim, words in self._words.items()}
        self._numbers = null_numbers(null_values)
        self._number_array = np.array(sorted(self._numbers))
        self.null_times = null_numbers(null_values, np.float64)

    def text(self, text: str, trim: bool) -> str | None:
        """Trims a text if its column says so; returns None for a missing value."""
        text = trimmed(text) if trim else text
        return None if text in self._words[trim] else text

    def texts(self, raw: pa.Array, trim: bool) -> FastColumn:
        """Trims texts, and makes null values null; a text longer than the limit needs the fallback."""
        fallback = true_in(pc.greater(pc.binary_length(raw), self.max_bytes))
        text = pc.ascii_trim(raw, characters=WHITE_SPACE) if trim else raw
        return FastColumn(without(text, true_in(pc.is_in(text, value_set=self._word_sets[trim]))), fallback)

    def is_null_number(self, number: float) -> bool:
        """Returns whether a null value spells the number; not of NaN."""
        return bool(self._numbers) and abs(number) <= MAX_FLOAT and float(np.float32(number)) in self._numbers

    def null_numbers(self, numbers: Any) -> Mask:
        """Returns which numbers mean a missing value, NaN among them."""
        is_null: Mask = np.isnan(numbers)
        if len(self._number_array):
            with np.errstate(over="ignore"):
                is_null |= np.isin(numbers.astype(np.float32).astype(np.float64), self._number_array)
        return is_null

    def check_length(self, value: str, name: str) -> None:
        """Raises RowError if a text is too long."""
        limit = self.max_bytes
        if len(value) > limit or (len(value) * 4 > limit and len(value.encode("utf-8", "surrogatepass")) > limit):
            raise RowError("too_long", f"`{name}` must have at most {limit} bytes. Received: {len(value)} characters")

    def check_number(self, items: Sequence[Any], name: str) -> None:
        """Raises RowError if a list has too many items."""
        if len(items) > self.max_items:
            raise RowError("too_long", f"`{name}` must have at most {self.max_items} values. Received: {len(items)}")


class Rule:
    """The rule of one column.

    Args:
      column: The column.
      source: What it shares with the source's other columns.
    """

    def __init__(self, column: Column, source: SourceRules):
        self.column, self.source = column, source

    def parse(self, raw: Mapping[str, Any]) -> Any:
        """Returns a row's value; None for a missing one. Raises RowError if the raw value breaks the rule."""
        column = self.column
        value = raw.get(column.name)
        if isinstance(value, tuple) and column.kind != "list" and len(value) == 1:
            value = value[0]
        if isinstance(value, bytes):
            value = decoded(value, column.name)
        if isinstance(value, str):
            self.source.check_length(value, column.name)
            value = self.source.text(value, column.trim)
        if isinstance(value, BadMember):
            raise RowError("bad_member", value.detail)
        return None if value is None else self.one(value)

    def parse_column(self, raw: Callable[[Column], FastColumn]) -> FastColumn:
        """Returns the values of rows, on the fast path."""
        values, fallback = raw(self.column)
        if pa.types.is_null(values.type):
            values = pa.nulls(len(values), pa.string())
        if pa.types.is_string(values.type):
            values, fallback_texts = self.source.texts(values, self.column.trim)
            fallback = fallback | fallback_texts
        parsed = self.many(values)
        return FastColumn(parsed.values, fallback | parsed.fallback)

    def one(self, value: Any) -> Any:
        """Parses a value that is not missing; a text is trimmed. Raises RowError if it breaks the rule."""
        raise NotImplementedError

    def many(self, raw: pa.Array) -> FastColumn:
        """Parses values; texts are trimmed, and null if they are missing values."""
        raise NotImplementedError

    def error(self, reason: str, rule: str, value: Any) -> RowError:
        """Returns the error of a value that breaks the rule: `rule` follows the column's name and "must be"."""
        return RowError(reason, f"`{self.column.name}` must be {rule}. Received: {str(value)[:40]!a}")


def decoded(value: bytes, name: str) -> str:
    """Returns a column's bytes as text; raises RowError if they are not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("undecodable", f"`{name}` must be UTF-8 text: {error.reason} at byte {error.start}") from None


def without(values: pa.Array, mask: Mask) -> pa.Array:
    """Returns texts, or binary values, with null where the mask is set."""
    if not mask.any():
        return values
    is_valid = np.concatenate([np.zeros(values.offset, bool), np.asarray(values.is_valid()) & ~mask])
    buffers = [pa.py_buffer(np.packbits(is_valid, bitorder="little")), *values.buffers()[1:]]
    return pa.Array.from_buffers(values.type, len(values), buffers, offset=values.offset)


def null_in(values: pa.Array) -> Mask:
    """Returns which values are null."""
    return np.asarray(values.is_null())


def true_in(mask: pa.Array) -> Mask:
    """Returns a mask as a NumPy array; null is false."""
    return np.asarray(pc.fill_null(mask, False))


def all_fallback(raw: pa.Array, kind: pa.DataType) -> FastColumn:
    """Returns no value; each that is not null needs the fallback."""
    return FastColumn(pa.nulls(len(raw), kind), ~null_in(raw))
