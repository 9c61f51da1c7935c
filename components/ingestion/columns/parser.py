"""Parses the columns of one source: single rows, and blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from components.ingestion.columns.labels import label_rule
from components.ingestion.columns.lists import Flag, OneHot, TextList
from components.ingestion.columns.numbers import Float, Weight
from components.ingestion.columns.rejections import RowError
from components.ingestion.columns.rule import Rule, SourceRules, null_in
from components.ingestion.columns.texts import text_rule
from components.ingestion.columns.times import Timestamp
from components.ingestion.formats.blocks import FastColumn, Mask
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
}


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

    def parse_row(self, raw: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns one row's values; raises RowError if one breaks its column's rule.

        They are str for `string`, tuple of str for `list` and `one_hot`, float for `float`, int 0 or 1 for `label`,
        float for `weight`, float seconds since 1970 for `timestamp`; None for a missing value.
        """
        values = []
        for column, rule in zip(self.columns, self._rules, strict=True):
            value = rule.parse(raw)
            if value is None and column.required:
                raise RowError("missing_value", f"`{column.name}` must have a value")
            values.append(value)
        return tuple(values)

    def parse_block(self, raw: Callable[[Column], FastColumn]) -> tuple[list[pa.Array], Mask]:
        """Parses rows on the fast path.

        Args:
          raw: Returns a column's raw values, with the rows marked whose raw value is none of: a UTF-8 text, a number, a
            boolean, a list of texts or numbers, or missing. All columns have the same number of rows.

        Returns:
          The values of each column, of the type in `KINDS`, and the rows that `parse_row` must parse.
        """
        parsed, fallback = [], np.zeros(0, bool)
        for at, (column, rule) in enumerate(zip(self.columns, self._rules, strict=True)):
            values, fallback_here = rule.parse_column(raw)
            if column.required:
                fallback_here = fallback_here | null_in(values)
            fallback = fallback_here if at == 0 else fallback | fallback_here
            parsed.append(values.cast(KINDS[column.kind].type, safe=False))
        return parsed, fallback
