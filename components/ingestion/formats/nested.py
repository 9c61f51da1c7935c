"""Columns of nested objects: `user.country` is the member `country` of a row's object `user`.

A row's own key of the column's name goes first, be its value null; so does a Parquet file's own column. Without it, a
name with dots is a path: its parts between the dots lead through objects, in Parquet through structs, to a member. The
readers call this module, so that all that comes after them sees flat columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.raw_rows import BadMember

#: The members of objects within objects are listed up to this number of keys in a path; a config may name longer paths.
MAX_LISTED_DEPTH = 8


def is_path(name: str) -> bool:
    """Returns whether a column's name can be a path."""
    return "." in name


def values_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Returns a column of rows as `json.loads` returns them; the values are those of `flat`."""
    if not is_path(name):
        return [row.get(name) for row in rows]
    keys = name.split(".")
    return [_value(row, name, keys) for row in rows]


def flat(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns some columns of a row as `json.loads` returns it.

    A column's value is that of the row's own key of its name. Without this key, it is the value to which the path
    leads; None if an object on the path is null or lacks the next key. If the path leads through a text, a number, a
    boolean or a list, the value is a `BadMember`; but None if the row is flat, that is, has neither an object nor a
    list that begins with an object: in a flat log, a dot is a character of a name.
    """
    return {name: _value(row, name, name.split(".")) if is_path(name) else row.get(name) for name in names}


def _value(row: Mapping[str, Any], name: str, keys: Sequence[str]) -> Any:
    if name in row:
        return row[name]
    found, num_keys = _led_to(row, keys)
    if num_keys == len(keys):
        return found
    if found is None or isinstance(found, dict) or _is_flat(row):
        return None
    received = type(found).__name__ if isinstance(found, list) else f"{type(found).__name__} {str(found)[:40]!a}"
    return BadMember(f"`{name}` needs an object as `{'.'.join(keys[:num_keys])}`. Received: {received}")


def _led_to(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, int]:
    """Follows keys from object to object; returns the last value that is there, and the number of keys to it."""
    found: Any = row
    for number, key in enumerate(keys):
        if not isinstance(found, dict) or key not in found:
            return found, number
        found = found[key]
    return found, len(keys)


def _is_flat(row: Mapping[str, Any]) -> bool:
    # Only the first item of a list is looked at: a row with a long list would cost its length for each column.
    return not any(
        isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))
        for value in row.values()
    )


def has_column(row: Mapping[str, Any], name: str, *, null_has_any: bool = False) -> bool:
    """Returns whether a row as `json.loads` returns it has a column.

    Args:
      row: The row.
      name: The column.
      null_has_any: Whether a null in place of an object counts as an object with all members.

    Returns:
      Whether the row has a key of the column's name, or the path leads to a value; the value may be null.
    """
    if name in row or not is_path(name):
        return name in row
    keys = name.split(".")
    found, num_keys = _led_to(row, keys)
    return num_keys == len(keys) or (found is None and null_has_any)


def names_in(row: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[str]:
    """Yields the names of a row's columns: in place of an object, `MAX_LISTED_DEPTH` deep, those of its members.

    A member whose own key has a dot in it is left out, since no path leads to it.
    """
    for key, value in row.items():
        if isinstance(value, dict) and value and depth < MAX_LISTED_DEPTH and not is_path(key):
            yield from names_in(value, f"{prefix}{key}.", depth + 1)
        elif depth == 1 or not is_path(key):
            yield f"{prefix}{key}"


def list_leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Returns the names and the types of a Parquet file's columns, with the members of structs as in `names_in`.

    A member with the name of one of the file's own columns is left out, since the name is that column's.
    """
    return list(_leaves(schema, "", 1, frozenset(schema.names)))


def _leaves(
    fields: Iterable[pa.Field], prefix: str, depth: int, own: frozenset[str]
) -> Iterator[tuple[str, pa.DataType]]:
    for field in fields:
        name, kind = field.name, field.type
        if pa.types.is_struct(kind) and kind.num_fields and depth < MAX_LISTED_DEPTH and not is_path(name):
            yield from _leaves(kind, f"{prefix}{name}.", depth + 1, own)
        elif depth == 1 or not (is_path(name) or f"{prefix}{name}" in own):
            yield f"{prefix}{name}", kind


def members_in(schema: pa.Schema, names: Sequence[str]) -> dict[str, list[str]]:
    """Finds which of some columns of a Parquet file are members of structs.

    Args:
      schema: The file's schema, which has no column twice.
      names: The columns' names.

    Returns:
      The keys of each such column, by its name; without those that the file has as its own columns, and those that it
      does not have (`why_no_member`).
    """
    keys_of = {name: name.split(".") for name in names if is_path(name) and name not in schema.names}
    return {name: keys for name, keys in keys_of.items() if _why_not_led(schema, keys) is None}


def why_no_member(schema: pa.Schema, name: str) -> str:
    """Returns the rule by which a path leads to no member of a Parquet file; an empty text if just a key is missing."""
    rule = _why_not_led(schema, name.split("."))
    return f"`{name}` needs {rule}" if rule else ""


def _why_not_led(schema: pa.Schema, keys: Sequence[str]) -> str | None:
    """Follows keys from struct to struct.

    Returns:
      None if they lead to a column or a member; an empty text if one of them is not there; else what they need.
    """
    found: pa.Schema | pa.DataType = schema
    for number, key in enumerate(keys):
        if number and not pa.types.is_struct(found):
            return f"a struct as `{'.'.join(keys[:number])}`. Received: {found}"
        places = found.get_all_field_indices(key)
        if len(places) != 1:
            return f"one member `{'.'.join(keys[: number + 1])}`. Received: {len(places)}" if places else ""
        found = found.field(places[0]).type
    return None


def flat_batch(batch: pa.RecordBatch, names: Sequence[str], members: Mapping[str, Sequence[str]]) -> pa.RecordBatch:
    """Returns some columns of a batch, members by their keys; a member is null where a struct on its path is null."""
    arrays = [
        pc.struct_field(batch.column(members[name][0]), list(members[name][1:]))
        if name in members
        else batch.column(name)
        for name in names
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
