"""A block of raw rows as a reader returns it."""

from __future__ import annotations

import dataclasses
import heapq
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.formats.raw_rows import RawRow
from transform.config.columns import Column

Mask = npt.NDArray[np.bool_]


class FastColumn(NamedTuple):
    """A column's values; `fallback` marks those that must be parsed one by one, whose value here means nothing."""

    values: pa.Array
    fallback: Mask


@dataclasses.dataclass(frozen=True)
class RawBlock:
    """Rows of a file.

    Attributes:
      numbers: The numbers of the rows on the fast path, ascending, as in `RawRow`.
      raw: Returns a column of these rows. It marks the values that are none of: a UTF-8 text, a number, a boolean, a
        list of texts or numbers, or missing.
      rows: Returns the raw values of some of these rows, by their positions, as in `RawRow`.
      fallback_rows: The other rows, ascending.
    """

    numbers: npt.NDArray[Any]
    raw: Callable[[Column], FastColumn]
    rows: Callable[[npt.NDArray[Any]], Sequence[Mapping[str, Any]]]
    fallback_rows: Sequence[RawRow] = ()

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.numbers) + len(self.fallback_rows)

    def first(self, num_rows: int) -> RawBlock:
        """Returns the first rows: all of them if there are no more than `num_rows`."""
        if num_rows >= self.num_rows:
            return self
        numbers = np.sort(np.concatenate([self.numbers, [row.number for row in self.fallback_rows]]))
        left_out = numbers[num_rows]
        num_fast = int(np.searchsorted(self.numbers, left_out))

        def raw(column: Column) -> FastColumn:
            values, fallback = self.raw(column)
            return FastColumn(values.slice(0, num_fast), fallback[:num_fast])

        fallback_rows = [row for row in self.fallback_rows if row.number < left_out]
        return RawBlock(self.numbers[:num_fast], raw, self.rows, fallback_rows)

    def all_rows(self) -> Iterator[RawRow]:
        """Yields all rows, by their numbers."""
        fast_rows = map(RawRow, self.numbers.tolist(), self.rows(np.arange(len(self.numbers))))
        return heapq.merge(fast_rows, self.fallback_rows, key=operator.attrgetter("number"))

    @property
    def last_number(self) -> int:
        """The number of the last row; 0 without rows."""
        return max([*map(int, self.numbers[-1:]), *(row.number for row in self.fallback_rows[-1:]), 0])


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[Mapping[str, Any]]:
    """Returns columns of raw values as rows."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
