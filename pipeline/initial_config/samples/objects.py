"""Reads the first rows of Parquet and jsonl files, whose columns may be members of objects."""

from __future__ import annotations

import bisect
import collections
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.formats.arrow_values import to_python
from components.ingestion.formats.jsonl import json_records
from components.ingestion.formats.lines import Lines
from components.ingestion.formats.nested import flat_batch, list_leaves, members_in, names_in, values_of
from components.ingestion.formats.raw_rows import BadMember
from pipeline.initial_config.samples import sample
from pipeline.initial_config.samples.sample import (
    MAX_COLUMNS,
    Column,
    Sample,
    Stored,
    check_columns,
    first_bytes,
    to_text,
)
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError

#: The rows that are read at once.
_ROWS_AT_ONCE = 256

#: What a JSON column stores, and the values that ingestion reads in it: whole numbers are texts too.
_JSON_COLUMNS: tuple[tuple[Stored, frozenset[Stored]], ...] = (
    ("boolean", frozenset({"boolean"})),
    ("integer", frozenset({"integer"})),
    ("number", frozenset({"integer", "number"})),
    ("text", frozenset({"text", "integer"})),
    ("list", frozenset({"list"})),
)
_JSON_VALUES: dict[type, Stored] = {bool: "boolean", int: "integer", float: "number", str: "text"}


def read_parquet(path: Path, max_rows: int) -> Sample:
    """Reads the first rows, as `read_sample`."""
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    check_columns(len(schema.names), path)
    kinds = list_leaves(schema)
    if twice := [name for name, number in collections.Counter(name for name, _ in kinds).items() if number > 1]:
        raise InputError(f"the file names columns twice: {twice[:5]} ({path})")
    names, wide = _without_wide_objects([name for name, _ in kinds], schema.names)
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


def read_jsonl(path: Path, max_rows: int) -> Sample:
    """Reads the first rows, as `read_sample`."""
    data, is_cut = first_bytes(path)
    objects = (values for values in json_rows(data) if values is not None)
    rows = list(itertools.islice(objects, max_rows + 1))
    if not rows:
        rule = "the lines of a jsonl file must be JSON objects" if data.strip() else "the file must have a row"
        raise InputError(f"{rule}. Received: none ({path})")
    is_whole = not is_cut and len(rows) <= max_rows
    own = dict.fromkeys(key for row in rows[:max_rows] for key in row)
    check_columns(len(own), path)
    names, wide = _without_wide_objects(
        list(dict.fromkeys(name for row in rows[:max_rows] for name in names_in(row))), list(own)
    )
    num_rows = min(max_rows, sample.MAX_CELLS // len(names))
    columns = tuple(
        Column(name, "other", (), wide[name]) if name in wide else _from_json(name, values)
        for name in names
        if not _is_object(name, values := values_of(rows[:num_rows], name), names) or name in wide
    )
    return Sample(path, "jsonl", DelimitedText(), {}, columns, len(rows[:num_rows]), is_whole and len(rows) <= num_rows)


def json_rows(data: bytes) -> Iterator[Any | None]:
    """Yields the object of each line that is not blank; None for a line that is none."""
    lines = Lines(io.BytesIO(data), Ingestion().max_row_bytes)
    return (row.values for row in json_records(lines) if row is not None)


def _is_object(name: str, values: Sequence[Any], names: Iterable[str]) -> bool:
    """Returns whether a column is one of objects whose members are columns, in some rows null or empty."""
    is_parent = any(other.startswith(f"{name}.") for other in names)
    return is_parent and all(value is None or isinstance(value, dict) for value in values)


def _from_json(name: str, values: Sequence[Any]) -> Column:
    """Returns a column of JSON values; without the few of another type, whose rows ingestion rejects."""
    kinds = [None if value is None else _json_value(value) for value in values]
    numbers = collections.Counter(kind for kind in kinds if kind is not None)
    odd = {stored: numbers.total() - sum(numbers[kind] for kind in read) for stored, read in _JSON_COLUMNS}
    stored = min(odd, key=lambda stored: odd[stored]) if numbers else "text"
    if odd[stored] > Ingestion().max_rejected_fraction * numbers.total() or not _is_utf_8(name):
        return Column(name, "other", (), _why_other(name, values))
    read = dict(_JSON_COLUMNS)[stored]
    kept = [value if kind in read else None for value, kind in zip(values, kinds, strict=True)]
    if stored == "list":
        return Column(name, stored, tuple(tuple(map(_json_text, items or ())) for items in kept))
    return Column(name, stored, tuple((_json_text(value),) for value in kept))


def _why_other(name: str, values: Sequence[Any]) -> str:
    """Returns why a column of JSON values is none that ingestion reads; an empty text if by their type."""
    num_bad = sum(isinstance(value, BadMember) for value in values)
    if num_bad:
        return f"in {num_bad:,} of {len(values):,} rows, the path leads through something else than an object"
    num_objects = sum(isinstance(value, dict) for value in values)
    num_others = sum(value is not None for value in values) - num_objects
    if num_objects and num_others:
        return f"an object in {num_objects:,} of {len(values):,} rows, and of another type in {num_others:,}"
    return ""


def _json_value(value: Any) -> Stored:
    if type(value) is list:
        return "list" if {type(item) for item in value} <= {str, int, type(None)} else "other"
    return _JSON_VALUES.get(type(value), "other")


def _json_text(value: Any) -> str:
    return to_text(value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value)


def _is_utf_8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _without_wide_objects(names: Sequence[str], own: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Puts one column in place of each object with many members, if the file would have more than `MAX_COLUMNS`.

    Args:
      names: The names of the columns; an object's members are columns.
      own: The names of the file's own columns, at most `MAX_COLUMNS`.

    Returns:
      At most `MAX_COLUMNS` names, and why the objects among them are left out, by their names. No object that is left
      out has fewer members than one whose members are columns.
    """
    if len(names) <= MAX_COLUMNS:
        return list(names), {}
    is_own = frozenset(own)
    objects_on = {name: [] if name in is_own else _objects_on(name) for name in names}
    members = collections.Counter(parent for parent, _ in {pair for pairs in objects_on.values() for pair in pairs})

    def narrowed(most: int) -> dict[str, str]:
        """Returns for each name that of the first object on its path with more than `most` members, or itself."""
        wide = {parent for parent, number in members.items() if number > most}
        return {name: next((p for p, _ in pairs if p in wide), name) for name, pairs in objects_on.items()}

    limits = sorted({0, *members.values()})  # with 0, all columns are the file's own
    fits = bisect.bisect_left(limits, True, key=lambda most: len(set(narrowed(most).values())) > MAX_COLUMNS)
    found = narrowed(limits[fits - 1])
    wide = {parent: f"an object of {members[parent]:,} members" for name, parent in found.items() if parent != name}
    return list(dict.fromkeys(found.values())), wide


def _objects_on(name: str) -> list[tuple[str, str]]:
    """Returns the objects on a path, from the outermost on, each with its member on the path."""
    keys = name.split(".")
    return [(".".join(keys[:number]), keys[number]) for number in range(1, len(keys))]
