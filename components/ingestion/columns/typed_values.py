"""Typed columns of a source's rows, as tables and as Python values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.parser import KINDS
from transform.config.columns import Column


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
