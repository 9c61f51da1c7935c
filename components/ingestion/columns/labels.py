"""The rules of labels: 0 or 1, a number with a threshold, or a text of some that are positive."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.numbers import number_from, numbers_from, numbers_in
from components.ingestion.columns.rule import MAX_FLOAT, Rule, SourceRules, null_in, true_in
from components.ingestion.columns.texts import Text
from components.ingestion.formats.blocks import FastColumn, Mask
from components.ingestion.formats.raw_rows import RowError
from transform.config.columns import Column
from transform.config.sources import LabelRule
from transform.raw_texts import trimmed


class BinaryLabel(Rule):
    """0 or 1; missing by its text only."""

    def one(self, value: Any) -> int | None:
        number = number_from(value, may_be_bool=True)
        if number not in (0.0, 1.0):
            raise self.error("bad_label", "0 or 1", value)
        return int(number)

    def many(self, raw: pa.Array) -> FastColumn:
        return numbers_in(raw, lambda numbers: (numbers == 0) | (numbers == 1), may_be_bool=True)


class ThresholdLabel(Rule):
    """A number; the label is 1 from the threshold on."""

    def __init__(self, column: Column, source: SourceRules, at_least: float):
        super().__init__(column, source)
        self._at_least = at_least

    def one(self, value: Any) -> int | None:
        number = number_from(value)
        if number is None or math.isnan(number):
            raise self.error("bad_label", "a number", value)
        return None if self.source.is_null_number(number) else int(number >= self._at_least)

    def many(self, raw: pa.Array) -> FastColumn:
        numbers, is_null, fallback = numbers_from(raw)
        fallback = fallback | (~(np.abs(numbers) <= MAX_FLOAT) & ~is_null)
        labels = (numbers >= self._at_least).astype(np.int8)
        return FastColumn(pa.array(labels, mask=is_null | self.source.null_numbers(numbers)), fallback)


class WordLabel(Text):
    """A text; the label is 1 for some texts, and 0 for some others or, if none are named, for all others."""

    def __init__(self, column: Column, source: SourceRules, rule: LabelRule):
        super().__init__(column, source)
        self._positive, self._negative = ([trimmed(word) for word in words] for words in (rule.positive, rule.negative))
        self._allowed = [*rule.positive, *rule.negative][:20]

    def one(self, value: Any) -> Any:
        text = super().one(value)
        if text is None:
            raise RowError("missing_value", f"`{self.column.name}` must have a value")
        if text in self._positive:
            return 1
        if self._negative and text not in self._negative:
            raise self.error("bad_label", f"one of {self._allowed}", text)
        return 0

    def many(self, raw: pa.Array) -> FastColumn:
        texts, fallback = super().many(raw)
        is_null, labels = null_in(texts), _is_one_of(texts, self._positive)
        if self._negative:
            fallback = fallback | ~(is_null | labels | _is_one_of(texts, self._negative))
        return FastColumn(pa.array(labels.astype(np.int8), mask=is_null), fallback)


def label_rule(column: Column, source: SourceRules) -> Rule:
    """Returns the rule of a column of labels."""
    rule = column.label_rule
    if rule is None:
        return BinaryLabel(column, source)
    return WordLabel(column, source, rule) if rule.at_least is None else ThresholdLabel(column, source, rule.at_least)


def _is_one_of(texts: pa.Array, words: list[str]) -> Mask:
    return true_in(pc.is_in(texts, value_set=pa.array(words, pa.string())))
