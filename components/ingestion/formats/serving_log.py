"""Reads the Parquet files of `wdr export-log`: candidates with their features as they were scored, and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.arrow_values import arrow_column, to_python
from components.ingestion.formats.blocks import FastColumn, RawBlock, rows_of
from components.ingestion.formats.parquet import parquet_batches, parquet_names
from transform.config.columns import Column
from transform.config.serving_log import IMPRESSION_ID, ITEM_ID, POSITION, REQUEST_ID, TIMESTAMP

#: What each row of the impressions' files has; an event has them too.
KEYS = (REQUEST_ID, ITEM_ID, TIMESTAMP)


class LoggedRows(NamedTuple):
    """Rows of a file.

    Attributes:
      batch: The columns, `KEYS` among them.
      numbers: int64 [n], the rows' numbers in the file.
    """

    batch: pa.RecordBatch
    numbers: npt.NDArray[np.int64]

    def take(self, kept: npt.NDArray[np.int64], positions: npt.NDArray[np.float64]) -> LoggedRows:
        """Returns some of the rows, with the position at which each was shown."""
        batch = self.batch.take(pa.array(kept))
        at = batch.schema.get_field_index(POSITION)
        batch = batch if at < 0 else batch.drop_columns([POSITION])
        return LoggedRows(batch.append_column(POSITION, pa.array(positions)), self.numbers[kept])

    def block(self, columns: Sequence[str]) -> RawBlock:
        """Returns the rows as a block; a column that the file does not have is missing in every row."""
        batch = self.batch

        def values_of(name: str) -> pa.Array:
            if name == IMPRESSION_ID:
                request, item = (_texts(batch.column(key)) for key in (REQUEST_ID, ITEM_ID))
                return pc.binary_join_element_wise(request, item, "/")
            if name not in batch.schema.names:
                return pa.nulls(len(batch))
            return batch.column(name)

        def raw(column: Column) -> FastColumn:
            return arrow_column(values_of(column.name))

        def rows(positions: npt.NDArray[np.int64]) -> list[Mapping[str, Any]]:
            some = pa.array(positions)
            return rows_of({name: to_python(values_of(name).take(some)) for name in columns})

        return RawBlock(self.numbers, raw, rows)


def read_logged_rows(path: str, columns: Sequence[str]) -> Iterator[LoggedRows]:
    """Yields the rows of a file, some at once; raises errors as `readers.read_blocks`.

    Args:
      path: The file.
      columns: The columns to read, beside `KEYS`; one that the file does not have is left out.
    """
    found = set(parquet_names(path))
    wanted = list(dict.fromkeys([*KEYS, *(name for name in columns if name in found)]))
    number = 0
    for batch in parquet_batches(path, wanted):
        yield LoggedRows(batch, np.arange(number + 1, number + len(batch) + 1))
        number += len(batch)


def read_serving_log_blocks(path: str, columns: Sequence[str]) -> Iterator[RawBlock]:
    """Reads all rows of a file, shown or not; see `readers.read_blocks`."""
    for rows in read_logged_rows(path, columns):
        yield rows.block(columns)


def _texts(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
