"""The rules of lists of texts: in one column, or as a column of flags for each text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.numbers import number_from, numbers_from
from components.ingestion.columns.rule import (
    MAX_FLOAT,
    Rule,
    SourceRules,
    all_fallback,
    decoded,
    null_in,
    true_in,
    without,
)
from components.ingestion.columns.texts import text_rule
from components.ingestion.formats.blocks import FastColumn, Mask
from components.ingestion.formats.raw_rows import RowError
from transform.config.columns import Column


class TextList(Rule):
    """A list, or a text that the source's separator parts; an item that is a null value is dropped."""

    def __init__(self, column: Column, source: SourceRules):
        super().__init__(column, source)
        self._item = text_rule(column, source)

    def one(self, value: Any) -> tuple[str, ...] | None:
        name, source = self.column.name, self.source
        items = value.split(source.separator) if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise RowError("bad_type", f"`{name}` must be a list of texts. Received: {type(value).__name__}")
        source.check_number(items, name)
        texts = []
        for item in items:
            if isinstance(item, bytes):
                item = decoded(item, name)
            if isinstance(item, str):
                source.check_length(item, name)
                item = source.text(item, self.column.trim)
            if item is not None and (text := self._item.one(item)) is not None:
                texts.append(text)
        return tuple(texts) or None

    def many(self, raw: pa.Array) -> FastColumn:
        if pa.types.is_string(raw.type):
            raw = pc.split_pattern(raw, self.source.separator)
        elif not pa.types.is_list(raw.type):
            return all_fallback(raw, pa.list_(pa.string()))
        lengths = np.asarray(pc.fill_null(pc.list_value_length(raw), 0), np.int64)
        rows = np.repeat(np.arange(len(raw)), lengths)
        items, fallback_items = self._items(raw.flatten())
        fallback = lengths > self.source.max_items
        fallback[rows[fallback_items]] = True
        lengths = np.bincount(rows[~null_in(items)], minlength=len(raw))
        return FastColumn(_lists(items.drop_null(), lengths), fallback)

    def _items(self, items: pa.Array) -> FastColumn:
        if pa.types.is_null(items.type):
            return FastColumn(items.cast(pa.string()), np.zeros(len(items), bool))
        if pa.types.is_integer(items.type):
            items = items.cast(pa.string())
        if pa.types.is_string(items.type):
            return self.source.texts(items, self.column.trim)
        return all_fallback(items, pa.string())


class Flag(Rule):
    """0, 1, true or false in any case of letters; a missing value counts as 0."""

    def one(self, value: Any) -> bool | None:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        number = number_from(value, may_be_bool=True)
        if number is not None and (math.isnan(number) or self.source.is_null_number(number)):
            return None
        if number not in (0.0, 1.0):
            raise self.error("bad_type", "0, 1, true or false", value)
        return number == 1.0

    def many(self, raw: pa.Array) -> FastColumn:
        is_true, _, fallback = self._parsed(raw)
        return FastColumn(pa.array(is_true), fallback)

    def _parsed(self, raw: pa.Array) -> tuple[Mask, Mask, Mask]:
        """Returns which values are true, which are missing, and which need the fallback."""
        is_word = is_true = np.zeros(len(raw), bool)
        if pa.types.is_string(raw.type):
            words = pc.ascii_lower(raw)
            is_true = true_in(pc.equal(words, "true"))
            is_word = is_true | true_in(pc.equal(words, "false"))
            raw = without(raw, is_word)
        numbers, is_null, fallback = numbers_from(raw, may_be_bool=True)
        is_null = is_null | self.source.null_numbers(numbers)
        fallback = fallback | ~(is_null | (numbers == 0) | (numbers == 1)) | (np.abs(numbers) > MAX_FLOAT)
        return is_true | (~is_null & (numbers == 1)), is_null & ~is_word, fallback


class RequiredFlag(Flag):
    """As `Flag`, but a missing value is missing."""

    def many(self, raw: pa.Array) -> FastColumn:
        is_true, is_missing, fallback = self._parsed(raw)
        return FastColumn(pa.array(is_true, mask=is_missing), fallback)


class OneHot(Rule):
    """The names of those columns of flags that are 1."""

    def __init__(self, column: Column, source: SourceRules):
        super().__init__(column, source)
        self._flags = [Flag(flag, source) for flag in column.flags]

    def parse(self, raw: Mapping[str, Any]) -> tuple[str, ...] | None:
        names = tuple(flag.column.name for flag in self._flags if flag.parse(raw))
        self.source.check_number(names, self.column.name)
        return names or None

    def parse_column(self, raw: Callable[[Column], FastColumn]) -> FastColumn:
        flags = [flag.parse_column(raw) for flag in self._flags]
        is_one = np.stack([np.asarray(flag.values) for flag in flags], axis=1)
        lengths = np.count_nonzero(is_one, axis=1)
        names = pa.array(self.column.one_hot, pa.string()).take(pa.array(np.nonzero(is_one)[1]))
        fallback = np.any([flag.fallback for flag in flags], axis=0) | (lengths > self.source.max_items)
        return FastColumn(_lists(names, lengths), fallback)


def _lists(items: pa.Array, lengths: npt.NDArray[Any]) -> pa.Array:
    """Returns a list of each row's items, row by row; null where there is none."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, mask=pa.array(lengths == 0))
