"""Reads the first rows of a Parquet file."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.formats.arrow_values import to_python
from components.ingestion.formats.nested import flat_batch, list_leaves, members_in
from pipeline.initial_config import sample
from pipeline.initial_config.sample import Column, Sample, Stored, check_columns, to_text
from pipeline.initial_config.wide_objects import without_wide_objects
from transform.config.sources import DelimitedText
from transform.errors import InputError

#: The rows that are read at once.
_ROWS_AT_ONCE = 256


def read_parquet(path: Path, max_rows: int) -> Sample:
    """Reads the first rows, as `read_sample`."""
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    check_columns(len(schema.names), path)
    kinds = list_leaves(schema)
    if twice := [name for name, number in collections.Counter(name for name, _ in kinds).items() if number > 1]:
        raise InputError(f"the file names columns twice: {twice[:5]} ({path})")
    names, wide = without_wide_objects([name for name, _ in kinds], schema.names)
    stored = {name: "other" if name in wide else _stored(kind) for name, kind in kinds}
    used = [name for name in names if name and stored.get(name, "other") != "other"]
    table = _first_rows(file, used, min(max_rows, sample.MAX_CELLS // max(1, len(used))), path)
    columns = tuple(
        _from_arrow(name, table.column(name).combine_chunks())
        if name in used
        else Column(name, "other", (), wide.get(name, ""))
        for name in names
    )
    is_whole = len(table) == file.metadata.num_rows
    return Sample(path, "parquet", DelimitedText(), {}, columns, len(table), is_whole)


def _first_rows(file: pq.ParquetFile, names: Sequence[str], max_rows: int, path: Path) -> pa.Table:
    """Reads the first rows of some columns, at most `max_rows` with at most `MAX_BYTES` bytes in memory."""
    schema = pa.schema([(name, kind) for name, kind in list_leaves(file.schema_arrow) if name in names])
    members = members_in(file.schema_arrow, names)
    batches: list[pa.RecordBatch] = []
    num_rows = num_bytes = 0
    for batch in file.iter_batches(batch_size=min(max_rows, _ROWS_AT_ONCE), columns=list(names)) if names else ():
        whole = flat_batch(batch, names, members).slice(0, max_rows - num_rows)
        part = whole
        while len(part) and num_bytes + part.nbytes > sample.MAX_BYTES:
            part = part.slice(0, len(part) // 2)
        batches.append(part)
        num_rows, num_bytes = num_rows + len(part), num_bytes + part.nbytes
        if len(part) < len(whole) or num_rows == max_rows:
            break
    if file.metadata.num_rows and names and not num_rows:
        raise InputError(f"the file's first row must have at most {sample.MAX_BYTES} bytes ({path})")
    return pa.Table.from_batches(batches, schema)


def _from_arrow(name: str, values: pa.Array) -> Column:
    stored = _stored(values.type)
    if stored == "other":
        return Column(name, stored, ())
    if stored == "list":
        return Column(name, stored, tuple(tuple(map(to_text, items or ())) for items in to_python(values)))
    if pa.types.is_timestamp(values.type):  # as texts in UTC, whatever the unit and the zone
        values = values.cast(pa.timestamp(values.type.unit)).cast(pa.string())
    return Column(name, stored, tuple((to_text(value),) for value in to_python(values)))


def _stored(kind: pa.DataType) -> Stored:
    if pa.types.is_dictionary(kind):
        return _stored(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "list" if _stored(kind.value_type) in ("text", "integer") else "other"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "time" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else "other"
