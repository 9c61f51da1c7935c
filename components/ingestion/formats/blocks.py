"""A block of raw rows as a reader returns it, and the raw columns of formats that Python reads value by value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
      raw: Returns a column of these rows, as for `Parser.parse_block`.
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

    @property
    def last_number(self) -> int:
        """The number of the last row; 0 without rows."""
        return max([*map(int, self.numbers[-1:]), *(row.number for row in self.fallback_rows[-1:]), 0])


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[Mapping[str, Any]]:
    """Returns columns of raw values as rows."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def json_column(values: Sequence[Any]) -> FastColumn:
    """Returns a column of values as `json.loads` returns them, or bytes.

    Only values of the most frequent type are fast. Integers and floats are one type here. A text or an item of a list
    that is not UTF-8 needs the fallback too.
    """
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if not kinds:
        return FastColumn(pa.nulls(len(values)), np.zeros(len(values), bool))
    allowed = _most_common(values, kinds)
    if kinds <= allowed:
        fallback = np.zeros(len(values), bool)
    else:
        fallback = np.array([value is not None and type(value) not in allowed for value in values])
        values = [None if needs_fallback else value for value, needs_fallback in zip(values, fallback, strict=True)]
    convert = _CONVERTERS.get(next(iter(allowed)), _numbers)
    array, more = convert(values)
    return FastColumn(array, fallback | more)


def _most_common(values: Sequence[Any], kinds: set[type]) -> set[type]:
    groups: tuple[set[type], ...] = ({str}, {bytes}, {int, float}, {list}, {bool})
    found = [group for group in groups if group & kinds]
    if len(found) == 1:
        return found[0]
    numbers = [sum(type(value) in group for value in values) for group in found]
    return found[int(np.argmax(numbers))] if found else {bool}


def _texts(values: Sequence[str | None]) -> tuple[pa.Array, Any]:
    fallback = np.zeros(len(values), bool)
    try:
        return pa.array(values, pa.string()), fallback
    except UnicodeEncodeError:
        fallback = np.array([value is not None and not _is_utf_8(value) for value in values])
        return pa.array([None if o else v for v, o in zip(values, fallback, strict=True)], pa.string()), fallback


def _is_utf_8(text: str | bytes) -> bool:
    try:
        return bool(text.decode() if isinstance(text, bytes) else text.encode()) or True
    except UnicodeError:
        return False


def _utf_8(values: Sequence[bytes | None]) -> tuple[pa.Array, Any]:
    return checked_texts(pa.array(values, pa.binary()))


def checked_texts(values: pa.Array) -> tuple[pa.Array, Any]:
    """Returns binary values as texts, and marks those that are not UTF-8."""
    fallback = np.zeros(len(values), bool)
    try:
        return values.cast(pa.string()), fallback
    except pa.ArrowInvalid:
        items = values.to_numpy(zero_copy_only=False).tolist()
        fallback = np.array([item is not None and not _is_utf_8(item) for item in items])
        return pa.array([None if o else v for v, o in zip(items, fallback, strict=True)], pa.string()), fallback


def _lists(values: Sequence[list[Any] | None]) -> tuple[pa.Array, Any]:
    """Returns lists of texts; a list with anything else but null needs the fallback."""
    fallback = np.array(
        [
            value is not None
            and not all(
                item is None or ((type(item) is str or type(item) is bytes) and _is_utf_8(item)) for item in value
            )
            for value in values
        ],
        bool,
    )
    kept = [None if o else v for v, o in zip(values, fallback, strict=True)]
    return pa.array(kept, pa.list_(pa.string())), fallback


def _numbers(values: Sequence[Any]) -> tuple[pa.Array, Any]:
    kinds = set(map(type, values)) - {type(None)}
    fallback = np.zeros(len(values), bool)
    try:
        if kinds == {bool}:
            return pa.array(values, pa.bool_()), fallback
        if kinds == {int}:
            return pa.array(values, pa.int64()), fallback
        return pa.array([None if v is None else float(v) for v in values], pa.float64()), fallback
    except (OverflowError, pa.ArrowInvalid):
        return pa.nulls(len(values)), np.array([value is not None for value in values])


_CONVERTERS: dict[type, Callable[[Sequence[Any]], tuple[pa.Array, Any]]] = {str: _texts, bytes: _utf_8, list: _lists}
