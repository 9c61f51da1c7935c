"""Reads Parquet files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.formats.arrow_values import arrow_column, time_texts, to_python
from components.ingestion.formats.blocks import FastColumn, RawBlock, rows_of
from components.ingestion.formats.files import check_columns, check_unique, open_file
from components.ingestion.formats.nested import flat_batch, list_leaves, members_in, why_no_member
from transform.config.columns import Column
from transform.errors import InputError

#: A batch of a Parquet file has at most so many rows, and no more than have these bytes in the file, uncompressed.
PARQUET_BATCH_ROWS, PARQUET_BATCH_BYTES = 10_000, 32 << 20


def parquet_names(path: str) -> list[str]:
    """Returns the column names of a Parquet file."""
    with open_file(path) as stream, _damage_reported():
        return list(pq.ParquetFile(stream).schema_arrow.names)


def parquet_members(path: str, names: Sequence[str]) -> list[str]:
    """Returns which of some columns of a Parquet file are members of structs."""
    with open_file(path) as stream, _damage_reported():
        return list(members_in(pq.ParquetFile(stream).schema_arrow, names))


def read_parquet_blocks(path: str, columns: Sequence[str]) -> Iterator[RawBlock]:
    """Reads a Parquet file; see `readers.read_blocks`."""
    number = 0
    for batch in parquet_batches(path, columns):
        yield _parquet_block(batch, number, columns)
        number += len(batch)


def _parquet_block(batch: pa.RecordBatch, number: int, columns: Sequence[str]) -> RawBlock:
    def raw(column: Column) -> FastColumn:
        values = batch.column(column.name)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if column.form is not None and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
            return FastColumn(time_texts(values), np.zeros(len(values), bool))
        return arrow_column(values)

    def rows(positions: npt.NDArray[np.int64]) -> list[Mapping[str, Any]]:
        some = pa.array(positions)
        return rows_of({name: to_python(batch.column(name).take(some)) for name in columns})

    return RawBlock(np.arange(number + 1, number + len(batch) + 1), raw, rows)


def parquet_batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a Parquet file, `_rows_at_once` rows at once; raises errors as `readers.read_blocks`."""
    with open_file(path) as stream, _damage_reported():
        if not stream.read(1):
            raise InputError(f"the file is empty ({path})")
        stream.seek(0)
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
        check_unique(schema.names, path)
        members = members_in(schema, columns)
        missing = [name for name in columns if name not in members and name not in schema.names]
        for rule in filter(None, (why_no_member(schema, name) for name in missing)):
            raise InputError(f"{rule} ({path})")
        if missing:
            check_columns(schema.names, missing, path, members=[name for name, _ in list_leaves(schema)])
        # Of a struct, only the members that are named are read.
        batches = file.iter_batches(_rows_at_once(file.metadata, columns), columns=list(columns))
        yield from (flat_batch(batch, columns, members) for batch in batches) if members else batches


def _rows_at_once(metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Returns the number of rows of a batch, given the mean bytes of a row in the row group with the longest rows.

    Rows are longer in memory than that where one value of a dictionary stands for many.
    """
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    read = [at for at, path in enumerate(paths) if any(path == name or path.startswith(f"{name}.") for name in columns)]
    longest = 1.0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        num_bytes = sum(group.column(at).total_uncompressed_size for at in read)
        longest = max(longest, num_bytes / max(group.num_rows, 1))
    return max(1, min(PARQUET_BATCH_ROWS, int(PARQUET_BATCH_BYTES / longest)))


@contextlib.contextmanager
def _damage_reported() -> Iterator[None]:
    """Raises ArrowInvalid for what else pyarrow raises for damaged bytes: UnicodeDecodeError, and a plain OSError.

    An error of the file itself has a number, or is of a class of the file's library.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(str(error)) from error
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            raise pa.ArrowInvalid(str(error)) from error
        raise
