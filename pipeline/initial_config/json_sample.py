"""Reads the first rows of a jsonl file."""

from __future__ import annotations

import collections
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.ingestion.formats.jsonl import json_records
from components.ingestion.formats.lines import Lines
from components.ingestion.formats.nested import names_in, values_of
from components.ingestion.formats.raw_rows import BadMember
from pipeline.initial_config import sample
from pipeline.initial_config.sample import Column, Sample, Stored, check_columns, first_bytes, to_text
from pipeline.initial_config.wide_objects import without_wide_objects
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError

#: What a JSON column stores, and the values that ingestion reads in it: whole numbers are texts too.
_JSON_COLUMNS: tuple[tuple[Stored, frozenset[Stored]], ...] = (
    ("boolean", frozenset({"boolean"})),
    ("integer", frozenset({"integer"})),
    ("number", frozenset({"integer", "number"})),
    ("text", frozenset({"text", "integer"})),
    ("list", frozenset({"list"})),
)
_JSON_VALUES: dict[type, Stored] = {bool: "boolean", int: "integer", float: "number", str: "text"}


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
    names, wide = without_wide_objects(
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
