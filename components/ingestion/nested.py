"""Columns of nested objects: `user.country` is the member `country` of a row's object `user`.

A column's name is first the key, in Parquet the column, that has this name as it stands. Else it is a path: its parts
between the dots lead through objects, in Parquet through structs, to a member. The readers call this module, so that
all that comes after them sees flat columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.rows import BadPath
from transform.errors import InputError

#: Objects within objects, from a row's own on, of which the members are listed; a config can name deeper ones.
MAX_LISTED_DEPTH = 8


def is_path(name: str) -> bool:
    """Returns whether a column's name can be a path."""
    return "." in name


def values_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Returns a column of rows as `json.loads` returns them."""
    if not is_path(name):
        return [row.get(name) for row in rows]
    keys = name.split(".")
    return [_value(row, name, keys) for row in rows]


def flat(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns some columns of a row as `json.loads` returns it.

    A value is None if the row has neither the key nor the path, or an object on the path is null. It is a `BadPath` if
    the path leads through something else than an object, unless the row has a key of the whole name; and if both the
    key and the path have a value.
    """
    return {name: _value(row, name, name.split(".")) if is_path(name) else row.get(name) for name in names}


def _value(row: Mapping[str, Any], name: str, keys: Sequence[str]) -> Any:
    found: Any = row
    for at, key in enumerate(keys):
        if not isinstance(found, dict):
            return row[name] if name in row else BadPath(_no_object(name, keys[:at], found), found)
        found = found.get(key)
        if found is None:
            return row.get(name)
    own = row.get(name)
    if own is None:
        return found
    rule = f"`{name}` must be either a key of the row or a member of its object `{'.'.join(keys[:-1])}`"
    return BadPath(f"{rule}. Received: both", own)


def _no_object(name: str, keys: Sequence[str], found: Any) -> str:
    received = type(found).__name__ if isinstance(found, list) else f"{type(found).__name__} {str(found)[:40]!a}"
    return f"`{name}` needs an object as `{'.'.join(keys)}`. Received: {received}"


def has_column(row: Mapping[str, Any], name: str, *, null_has_any: bool = False) -> bool:
    """Returns whether a row as `json.loads` returns it has a column, be it null.

    Args:
      row: The row.
      name: The column.
      null_has_any: Whether an object that is null has any member.

    Returns:
      Whether it has; so it does if the path leads through something else than an object, which `flat` tells.
    """
    if name in row or not is_path(name):
        return name in row
    found: Any = row
    for key in name.split("."):
        if found is None:
            return null_has_any
        if not isinstance(found, dict):
            return True
        if key not in found:
            return False
        found = found[key]
    return True


def names_in(row: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[str]:
    """Yields the names of a row's columns: in place of an object, `MAX_LISTED_DEPTH` deep, those of its members.

    A member whose own key has a dot in it is not there, since no path leads to it.
    """
    for key, value in row.items():
        if isinstance(value, dict) and value and depth < MAX_LISTED_DEPTH and not is_path(key):
            yield from names_in(value, f"{prefix}{key}.", depth + 1)
        elif depth == 1 or not is_path(key):
            yield f"{prefix}{key}"


def leaves_of(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Returns the names and the types of a Parquet file's columns, with the members of structs as in `names_in`."""
    return list(_leaves(schema, "", 1))


def _leaves(fields: Iterable[pa.Field], prefix: str, depth: int) -> Iterator[tuple[str, pa.DataType]]:
    for field in fields:
        name, kind = field.name, field.type
        if pa.types.is_struct(kind) and kind.num_fields and depth < MAX_LISTED_DEPTH and not is_path(name):
            yield from _leaves(kind, f"{prefix}{name}.", depth + 1)
        elif depth == 1 or not is_path(name):
            yield f"{prefix}{name}", kind


def paths_in(schema: pa.Schema, names: Sequence[str], path: str) -> dict[str, list[str]]:
    """Finds which of some columns of a Parquet file are members of structs.

    Args:
      schema: The file's schema, which has no column twice.
      names: The columns' names.
      path: The file.

    Returns:
      The keys of each such column, by its name.

    Raises:
      InputError: If a name is both a column's and a member's, a path leads through a column that is no struct, or a
        struct has a member twice.
    """
    found = {}
    for name in filter(is_path, names):
        keys = name.split(".")
        kind, at = _led_to(schema, keys, path)
        if name in schema.names:
            if at == len(keys):
                parent = ".".join(keys[:-1])
                rule = f"`{name}` must be either a column or a member of the column `{parent}`"
                raise InputError(f"{rule}. Received: both ({path})")
        elif at == len(keys):
            found[name] = keys
        elif kind is not None and not pa.types.is_struct(kind):
            raise InputError(f"`{name}` needs a struct as `{'.'.join(keys[:at])}`. Received: {kind} ({path})")
    return found


def _led_to(schema: pa.Schema, keys: Sequence[str], path: str) -> tuple[pa.DataType | None, int]:
    """Returns the type of the last column to which keys lead, and the number of these keys."""
    fields: pa.Schema | pa.StructType = schema
    kind: pa.DataType | None = None
    for at, key in enumerate(keys):
        places = fields.get_all_field_indices(key)
        if not places:
            return kind, at
        if len(places) > 1:
            raise InputError(f"the file names members twice: {['.'.join(keys[: at + 1])]} ({path})")
        kind = fields.field(places[0]).type
        if not pa.types.is_struct(kind):
            return kind, at + 1
        fields = kind
    return kind, len(keys)


def flat_batch(batch: pa.RecordBatch, names: Sequence[str], paths: Mapping[str, Sequence[str]]) -> pa.RecordBatch:
    """Returns some columns of a batch; a member's value is null where a struct on its path is null."""
    arrays = [
        pc.struct_field(batch.column(paths[name][0]), list(paths[name][1:])) if name in paths else batch.column(name)
        for name in names
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
