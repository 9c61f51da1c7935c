"""The rules of numbers: of features, and of examples' weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.rule import MAX_FLOAT, Rule, null_in, true_in, without
from components.ingestion.formats.blocks import FastColumn, Mask

#: A larger weight would make one row outweigh all others, and is more likely a mistake.
MAX_WEIGHT = 1_000_000

#: A text that Python and Arrow read as the same number; a text of another form needs the fallback.
_PLAIN_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?$"


class Float(Rule):
    """A finite float32; NaN is a missing value."""

    def one(self, value: Any) -> float | None:
        number = number_from(value)
        if number is None:
            raise self.error("bad_type", "a number", value)
        if math.isnan(number):
            return None
        if abs(number) > MAX_FLOAT:
            raise self.error("bad_type", "a finite 32-bit number", value)
        return None if self.source.is_null_number(number) else number

    def many(self, raw: pa.Array) -> FastColumn:
        numbers, is_null, fallback = numbers_from(raw)
        is_null = is_null | self.source.null_numbers(numbers)
        return FastColumn(pa.array(numbers, mask=is_null), fallback | (np.abs(numbers) > MAX_FLOAT))


class Weight(Rule):
    """A number from 0 to `MAX_WEIGHT`."""

    reason, words = "bad_weight", f"a number from 0 to {MAX_WEIGHT}"

    @staticmethod
    def allowed(numbers: Any) -> Any:
        """Whether a number, or each of an array, is allowed."""
        return (numbers >= 0) & (numbers <= MAX_WEIGHT)

    def one(self, value: Any) -> float | None:
        number = number_from(value)
        if number is not None and self.source.is_null_number(number):
            return None
        if number is None or not self.allowed(number):
            raise self.error(self.reason, self.words, value)
        return number

    def many(self, raw: pa.Array) -> FastColumn:
        weights, fallback = numbers_in(raw, self.allowed)
        is_null = self.source.null_numbers(np.asarray(pc.fill_null(weights, np.nan)))
        return FastColumn(pa.array(np.asarray(pc.fill_null(weights, 0.0)), mask=is_null), fallback)


class Propensity(Weight):
    """A chance above 0, the least of which a weight of `MAX_WEIGHT` comes from, and at most 1."""

    reason, words = "bad_propensity", f"a number from {1 / MAX_WEIGHT:.6f} to 1"

    @staticmethod
    def allowed(numbers: Any) -> Any:
        return (numbers >= 1 / MAX_WEIGHT) & (numbers <= 1)


def number_from(value: Any, *, may_be_bool: bool = False) -> float | None:
    """Returns a value as a number, NaN and the infinities included; None if it is not a number."""
    if isinstance(value, bool):
        return float(value) if may_be_bool else None
    if isinstance(value, str) and "_" in value:  # Python reads 1_000 as a number
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def numbers_from(raw: pa.Array, *, may_be_bool: bool = False) -> tuple[Any, Mask, Mask]:
    """Returns float64 numbers, which of them are null, and which need the fallback."""
    kind, is_null = raw.type, null_in(raw)
    fallback = np.zeros(len(raw), bool)
    if pa.types.is_string(kind):
        fallback = ~true_in(pc.match_substring_regex(raw, _PLAIN_NUMBER)) & ~is_null
        raw = without(raw, fallback)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or (may_be_bool and pa.types.is_boolean(kind))):
        return np.zeros(len(raw)), is_null, ~is_null
    return np.asarray(pc.fill_null(raw.cast(pa.float64(), safe=False), 0.0)), is_null, fallback


def numbers_in(raw: pa.Array, allowed: Callable[[Any], Mask], *, may_be_bool: bool = False) -> FastColumn:
    """Returns float64 numbers; those that are not allowed need the fallback."""
    numbers, is_null, fallback = numbers_from(raw, may_be_bool=may_be_bool)
    fallback = fallback | (~allowed(numbers) & ~is_null)
    return FastColumn(pa.array(np.where(fallback, 0.0, numbers), mask=is_null), fallback)
