"""The rules of texts, and of texts that must have the form from which features are derived."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.rule import Rule, SourceRules, all_fallback, null_in, true_in
from components.ingestion.formats.blocks import FastColumn
from components.ingestion.formats.raw_rows import OddValue, RowError, StoredTime
from transform.config.columns import Column
from transform.derived_times import TimeForm

#: From here on a float64 does not hold each whole number.
_MAX_EXACT = 2.0**53


class Text(Rule):
    """One text, or a whole number, which is read as its digits."""

    def one(self, value: Any) -> str | None:
        name = self.column.name
        if isinstance(value, str):
            if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value):
                return value
            raise RowError("undecodable", f"`{name}` must be UTF-8 text. Received: {value[:40]!a}")
        if isinstance(value, int) and not isinstance(value, bool):
            return self.source.text(str(value), self.column.trim)
        if isinstance(value, StoredTime | datetime.date):
            raise RowError("bad_type", f"`{name}` must be one text; `derive` takes a part of a time. Received: a time")
        received = value if isinstance(value, OddValue) else f"{type(value).__name__} {str(value)[:40]!r}"
        raise RowError("bad_type", f"`{name}` must be one text. Received: {received}")

    def many(self, raw: pa.Array) -> FastColumn:
        if pa.types.is_string(raw.type):
            return FastColumn(raw, np.zeros(len(raw), bool))
        if pa.types.is_integer(raw.type):
            return self.source.texts(raw.cast(pa.string()), self.column.trim)
        return all_fallback(raw, pa.string())


class FormedText(Text):
    """A text of a form of `transform.derived_times`: a date, a time or a number of seconds."""

    def __init__(self, column: Column, source: SourceRules, form: TimeForm):
        super().__init__(column, source)
        self._form = form

    def one(self, value: Any) -> str | None:
        if not isinstance(value, str):
            value = self._as_text(value)
            value = self.source.text(value, self.column.trim) if isinstance(value, str) else value
        text = None if value is None else super().one(value)
        if text is not None and not self._form.matches(text):
            raise self.error("bad_type", self._form.words, text)
        return text

    def _as_text(self, value: Any) -> Any:
        """Returns a time that a file stores as such, or a number where numbers are times, as text or whole number."""
        if isinstance(value, StoredTime):
            return value.text
        if isinstance(value, OddValue):
            return value.words
        if isinstance(value, datetime.date):
            return value.isoformat()
        if isinstance(value, float) and self._form.is_number:
            return None if math.isnan(value) else int(value) if value.is_integer() else repr(value)
        return value

    def many(self, raw: pa.Array) -> FastColumn:
        fallback = np.zeros(len(raw), bool)
        if self._form.is_number and pa.types.is_floating(raw.type):
            raw, fallback = _whole_numbers(raw)
        texts, fallback_texts = super().many(raw)
        has_form = true_in(pc.match_substring_regex(texts, self._form.pattern))
        return FastColumn(texts, fallback | fallback_texts | ~(has_form | null_in(texts)))


def text_rule(column: Column, source: SourceRules) -> Rule:
    """Returns the rule of a column of texts."""
    return Text(column, source) if column.form is None else FormedText(column, source, column.form)


def _whole_numbers(raw: pa.Array) -> FastColumn:
    """Returns floating numbers as whole ones, and NaN as null; those that are none need the fallback."""
    numbers = np.asarray(pc.fill_null(raw.cast(pa.float64()), float("nan")))
    is_null = np.isnan(numbers)
    is_whole = (np.abs(numbers) < _MAX_EXACT) & (np.floor(numbers) == numbers)
    return FastColumn(pa.array(np.where(is_whole, numbers, 0).astype(np.int64), mask=is_null), ~(is_whole | is_null))
