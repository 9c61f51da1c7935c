"""A span's examples as columns of numbers and codes, from which the evidence is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The values of a categorical feature or a categorical list.

    Attributes:
      values: The distinct strings.
      codes: int64 [occurrences], the index in `values` of each occurrence.
      rows: int64 [occurrences], the example of each occurrence, ascending. A missing value has no occurrence.
      num_rows: The number of examples.
    """

    values: Sequence[str]
    codes: Ints
    rows: Ints
    num_rows: int

    @property
    def num_missing(self) -> int:
        return self.num_rows - len(np.unique(self.rows))

    def of_rows(self) -> Ints:
        """Returns int64 [num_rows]: the code of each example's first value, -1 for a missing value."""
        found = np.full(self.num_rows, -1, dtype=np.int64)
        found[self.rows[::-1]] = self.codes[::-1]
        return found


@dataclasses.dataclass(frozen=True)
class Columns:
    """A span's examples.

    Attributes:
      label: int64 [n], 0 or 1.
      request: int64 [n], a code of the request; unique to each example if there are no requests.
      tokens: The categorical features and lists by name.
      numbers: The numeric features by name, float64 [n]; NaN for a missing value.
      placement: How far each was placed by chance (`PLACEMENT`), float64 [n]; None if the log does not say it.
    """

    label: Ints
    request: Ints
    tokens: Mapping[str, Tokens]
    numbers: Mapping[str, Floats]
    placement: Floats | None = None


def read_tokens(array: pa.Array | pa.ChunkedArray) -> Tokens:
    """Reads strings, integers or lists of them from an Arrow array; nulls are missing values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    num_rows = len(array)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        rows = np.asarray(pc.list_parent_indices(array), dtype=np.int64)
        array = pc.list_flatten(array)
    else:
        rows = np.flatnonzero(np.asarray(array.is_valid()))
        array = array.drop_null()
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = array.cast(pa.large_binary()).cast(pa.large_string())
    encoded = array.cast(pa.large_string()).dictionary_encode()
    codes = np.asarray(encoded.indices, dtype=np.int64)
    return Tokens(encoded.dictionary.to_pylist(), codes, rows, num_rows)


def read_numbers(array: pa.Array | pa.ChunkedArray) -> Floats:
    """Reads numbers, or lists of at most one number, from an Arrow array."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        found = np.full(len(array), np.nan)
        found[np.asarray(pc.list_parent_indices(array), dtype=np.int64)] = np.asarray(
            pc.list_flatten(array), dtype=np.float64
        )
        return found
    return np.asarray(array.cast(pa.float64()).fill_null(float("nan")), dtype=np.float64)
