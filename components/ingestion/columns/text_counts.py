"""Counts of what the text rules change in a source's columns: for a report, since ingestion applies them silently."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.blocks import FastColumn, Mask
from transform.config.columns import Column
from transform.raw_texts import WHITE_SPACE, trimmed


class TextCounts:
    """Counts in rows that are not rejected, in columns whose texts are trimmed, but not in lists of texts or flags.

    Attributes:
      trimmed: By column, the number of texts with leading or trailing white space.
      null: By column, the number of texts that are not empty and mean "missing value".
    """

    def __init__(self) -> None:
        self.trimmed: collections.Counter[str] = collections.Counter()
        self.null: collections.Counter[str] = collections.Counter()

    def add_columns(
        self, columns: Sequence[Column], raw: Callable[[Column], FastColumn], values: Sequence[pa.Array], fallback: Mask
    ) -> None:
        """Adds rows on the fast path, without those that need the fallback."""
        for column, parsed in zip(columns, values, strict=True):
            if column.one_hot:
                continue
            texts = raw(column).values
            if not column.trim or not pa.types.is_string(texts.type):
                continue
            lengths = _lengths(pc.ascii_trim(texts, characters=WHITE_SPACE))
            self.trimmed[column.name] += int(np.count_nonzero(~fallback & (_lengths(texts) != lengths)))
            is_null = np.asarray(parsed.is_null())
            self.null[column.name] += int(np.count_nonzero(~fallback & is_null & (lengths > 0)))

    def add_row(self, columns: Sequence[Column], raw: Mapping[str, Any], values: Sequence[Any]) -> None:
        """Adds a row as `Parser.parse_row` gets and returns it."""
        for column, value in zip(columns, values, strict=True):
            text = None if column.one_hot else raw.get(column.name)
            if isinstance(text, bytes):
                text = text.decode("utf-8", "replace")
            if isinstance(text, str) and column.trim:
                self.trimmed[column.name] += text != trimmed(text)
                self.null[column.name] += value is None and bool(trimmed(text))


def _lengths(texts: pa.Array) -> Any:
    """Returns the lengths of texts in bytes, int32; 0 for a missing one."""
    return np.asarray(pc.fill_null(pc.binary_length(texts), 0))
