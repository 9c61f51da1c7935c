"""Parses the columns of one source: single rows, and blocks of rows; typed columns as tables and as Python values."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.labels import label_rule
from components.ingestion.columns.lists import Flag, OneHot, RequiredFlag, TextList
from components.ingestion.columns.numbers import Float, Propensity, Weight
from components.ingestion.columns.rule import Rule, SourceRules, null_in
from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.columns.texts import text_rule
from components.ingestion.columns.times import Timestamp
from components.ingestion.formats.blocks import FastColumn, Mask, RawBlock
from components.ingestion.formats.raw_rows import RawRow, RowError
from transform.config.columns import Column, ColumnKind
from transform.config.settings import Ingestion


class Kind(NamedTuple):
    """A kind of column.

    Attributes:
      type: The Arrow type of its typed values.
      rule: Makes the rule of a column.
    """

    type: pa.DataType
    rule: Callable[[Column, SourceRules], Rule]


KINDS: dict[ColumnKind, Kind] = {
    "string": Kind(pa.string(), text_rule),
    "list": Kind(pa.list_(pa.string()), TextList),
    "float": Kind(pa.float64(), Float),
    "label": Kind(pa.int8(), label_rule),
    "weight": Kind(pa.float64(), Weight),
    "timestamp": Kind(pa.float64(), Timestamp),
    "one_hot": Kind(pa.list_(pa.string()), OneHot),
    "flag": Kind(pa.bool_(), Flag),
    "randomized": Kind(pa.bool_(), RequiredFlag),
    "propensity": Kind(pa.float64(), Propensity),
}


class ParsedBlock(NamedTuple):
    """Rows of a file.

    Attributes:
      values: The rows that break no rule: the columns, of the types in `KINDS`.
      numbers: Their numbers in the file, as in `RawRow`, ascending.
      errors: The other rows, ascending, each with its error.
    """

    values: list[pa.Array]
    numbers: npt.NDArray[Any]
    errors: list[tuple[RawRow, RowError]]


class Parser:
    """Turns raw rows of one source into typed values, in the order of its columns.

    A string is trimmed first if its column says so. It is a missing value if it is then empty or one of the null
    values; a number is a missing value if a null value spells that number. This is the rule of `transform.raw_texts`.
    A label without a `label_rule` is missing by its text only; a time, if a null value spells its seconds since 1970.

    Args:
      columns: The source's columns.
      null_values: The source's null values.
      list_separator: The source's list separator.
      limits: The limits `max_field_bytes` and `max_list_values`.
    """

    def __init__(self, columns: Sequence[Column], null_values: Sequence[str], list_separator: str, limits: Ingestion):
        self.columns = tuple(columns)
        source = SourceRules(null_values, list_separator, limits)
        self._rules = [KINDS[column.kind].rule(column, source) for column in self.columns]

    def parse(self, block: RawBlock, texts: TextCounts | None = None) -> ParsedBlock:
        """Parses rows; counts in `texts` what the rules for texts change."""
        values, fallback = self._parse_fast(block.raw)
        if texts is not None:
            texts.add_columns(self.columns, block.raw, values, fallback)
        numbers = block.numbers
        fallback_rows = block.fallback_rows
        if fallback.any():
            positions = np.flatnonzero(fallback)
            more = map(RawRow, numbers[positions].tolist(), block.rows(positions))
            fallback_rows = sorted([*more, *fallback_rows], key=operator.attrgetter("number"))
            values, numbers = [array.filter(pa.array(~fallback)) for array in values], numbers[~fallback]
        parsed: list[tuple[int, tuple[Any, ...]]] = []
        errors: list[tuple[RawRow, RowError]] = []
        for raw in fallback_rows:
            try:
                if raw.values is None:
                    raise RowError(raw.reason, raw.detail)
                parsed.append((raw.number, self.parse_row(raw.values)))
            except RowError as error:
                errors.append((raw, error.with_traceback(None)))  # a traceback would keep the whole block in memory
                continue
            if texts is not None:
                texts.add_row(self.columns, raw.values, parsed[-1][1])
        return ParsedBlock(*_merged(values, numbers, parsed), errors)

    def parse_row(self, raw: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns one row's values; raises RowError if one breaks its column's rule.

        They are str for `string`, tuple of str for `list` and `one_hot`, float for `float`, int 0 or 1 for `label`,
        float for `weight` and `propensity`, bool for `randomized`, float seconds since 1970 for `timestamp`; None for a
        missing value.
        """
        values = []
        for column, rule in zip(self.columns, self._rules, strict=True):
            value = rule.parse(raw)
            if value is None and column.required:
                raise RowError("missing_value", f"`{column.name}` must have a value")
            values.append(value)
        return tuple(values)

    def _parse_fast(self, raw: Callable[[Column], FastColumn]) -> tuple[list[pa.Array], Mask]:
        """Returns the values of each column, and the rows that `parse_row` must parse."""
        parsed, fallback = [], np.zeros(0, bool)
        for at, (column, rule) in enumerate(zip(self.columns, self._rules, strict=True)):
            values, fallback_here = rule.parse_column(raw)
            if column.required:
                fallback_here = fallback_here | null_in(values)
            fallback = fallback_here if at == 0 else fallback | fallback_here
            parsed.append(values.cast(KINDS[column.kind].type, safe=False))
        return parsed, fallback


def _merged(
    values: list[pa.Array], numbers: npt.NDArray[np.int64], rows: Sequence[tuple[int, tuple[Any, ...]]]
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Returns columns, and the numbers of their rows, with more rows, each with its number; sorted by number."""
    if not rows:
        return values, numbers
    all_numbers = np.concatenate([numbers, np.array([number for number, _ in rows], np.int64)])
    order = np.argsort(all_numbers)
    more = zip(*(row for _, row in rows), strict=True)
    merged = [
        pa.concat_arrays([array, pa.array(list(column), array.type)]).take(pa.array(order))
        for array, column in zip(values, more, strict=True)
    ]
    return merged, all_numbers[order]


def to_lists(values: Sequence[pa.Array]) -> list[list[Any]]:
    """Returns typed columns as Python values: the values of `Parser.parse_row`."""
    return [_to_list(array) for array in values]


def _to_list(array: pa.Array) -> list[Any]:
    if pa.types.is_list(array.type):
        items = array.flatten().to_numpy(zero_copy_only=False).tolist()
        bounds = [0, *np.cumsum(np.asarray(pc.fill_null(array.value_lengths(), 0))).tolist()]
        return [tuple(items[start:end]) or None for start, end in itertools.pairwise(bounds)]
    if array.null_count and not pa.types.is_string(array.type):
        result: list[Any] = array.to_pylist()
        return result
    result = array.to_numpy(zero_copy_only=False).tolist()
    return result


def typed_table(columns: Sequence[Column], values: Sequence[pa.Array], numbers: npt.NDArray[Any]) -> pa.Table:
    """Returns typed columns as a table: the columns `c0`, `c1`, and so on, by their position, and `number`."""
    fields = [pa.field(f"c{at}", KINDS[column.kind].type) for at, column in enumerate(columns)]
    schema = pa.schema([*fields, pa.field("number", pa.int64())])
    return pa.Table.from_arrays([*values, pa.array(numbers, pa.int64())], schema=schema)


def empty_table(columns: Sequence[Column]) -> pa.Table:
    """Returns a table as `typed_table` does, without rows."""
    return typed_table(columns, [pa.array([], KINDS[column.kind].type) for column in columns], np.zeros(0, np.int64))
