"""Reads the first rows of a CSV, JSON Lines or Parquet file, and guesses the form of a text file."""

from __future__ import annotations

import bisect
import collections
import csv
import dataclasses
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.formats.nested import flat_batch, list_leaves, members_in, names_in, values_of
from components.ingestion.formats.raw_rows import BadMember
from components.ingestion.formats.record_readers import to_python
from components.ingestion.formats.text_records import Lines, json_records
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText, Format
from transform.errors import InputError

#: The bytes of a text file, decompressed, or of a Parquet file's columns in memory, from which everything is guessed.
MAX_BYTES = 16 << 20

#: The values of a Parquet file from which everything is guessed, and the rows that are read at once.
_MAX_CELLS, _ROWS_AT_ONCE = 4_000_000, 256

#: The lines by which delimiter and quoting are guessed.
_NUM_LINES = 2000

#: The lines that are JSON objects in a jsonl file.
_NUM_JSON_LINES = 10

_DELIMITERS = (",", "\t", ";", "|")
_MAX_SKIPPED_LINES = 20
_MAX_COLUMNS = 1000

#: ASCII white space, which ingestion trims.
WHITE_SPACE = " \t\n\v\f\r"

#: Texts that mean "no value" in many logs.
NULL_WORDS = frozenset({"?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "Null", "null", "None", "none", "\\N", "#N/A"})

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Stored = Literal["text", "integer", "number", "boolean", "time", "list", "other"]

#: What a JSON column stores, and the values that ingestion reads in it: whole numbers are texts too.
_JSON_COLUMNS: tuple[tuple[Stored, frozenset[Stored]], ...] = (
    ("boolean", frozenset({"boolean"})),
    ("integer", frozenset({"integer"})),
    ("number", frozenset({"integer", "number"})),
    ("text", frozenset({"text", "integer"})),
    ("list", frozenset({"list"})),
)
_JSON_VALUES: dict[type, Stored] = {bool: "boolean", int: "integer", float: "number", str: "text"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's first values.

    Attributes:
      name: The column's name in the file; of a member of a nested object its path, with dots.
      stored: What the file stores; a text file stores texts. A `list` has texts or integers, as ingestion reads them;
        a `number` may have a fraction; `other` is what ingestion reads as no feature.
      texts: The values as trimmed texts, `""` for none; of a list its values in one, for the other columns one each.
      reason: Why it is `other`; an empty text if by the type of its values.
    """

    name: str
    stored: Stored
    texts: tuple[tuple[str, ...], ...]
    reason: str = ""

    @property
    def singles(self) -> list[str]:
        """The values that are there."""
        return [text for texts in self.texts for text in texts if text]


@dataclasses.dataclass(frozen=True)
class Sample:
    """The first rows of a file.

    Attributes:
      path: The file.
      format: Its format.
      text: How a text file is read.
      reasons: By the key of `text`: why it was guessed.
      columns: Its columns.
      num_rows: The number of rows read.
      is_whole: Whether these are all rows of the file.
    """

    path: Path
    format: Format
    text: DelimitedText
    reasons: dict[str, str]
    columns: tuple[Column, ...]
    num_rows: int
    is_whole: bool


def read_sample(path: Path, max_rows: int) -> Sample:
    """Reads a file's first rows.

    Args:
      path: A Parquet file, a jsonl file, whose name ends in `.jsonl` or `.ndjson`, or a text file with a delimiter. A
        jsonl or text file may be compressed, its name then ends in `.gz`.
      max_rows: The most rows that are read. At most the first `MAX_BYTES` bytes are read, of a Parquet file those of
        the columns that can be features, and fewer rows of a Parquet file with many columns.

    Raises:
      InputError: If the file cannot be read, has no rows, or has no columns that a delimiter parts.
    """
    endings = [ending.lower() for ending in path.suffixes]
    ending = next((ending for ending in reversed(endings) if ending != ".gz"), "")
    if path.suffix != ".gz" and path.suffix.lower() == ".gz":  # a run would read the compressed bytes
        raise InputError(f"the name of a compressed file must end in .gz, in small letters. Received: {path}")
    if ending in (".json", ".tfrecord", ".xlsx", ".zip"):
        raise InputError(f"`wdr init` reads csv, tsv, jsonl and Parquet files. Received: {path}")
    try:
        if endings[-1:] == [".parquet"]:
            sample = _parquet(path, max_rows)
        elif ending in (".jsonl", ".ndjson"):
            sample = _jsonl(path, max_rows)
        else:
            sample = _delimited(path, max_rows)
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowInvalid) as error:
        raise InputError(f"the file is damaged: {' '.join(str(error).split())[:200]} ({path})") from error
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror or error} ({path})") from error
    if not sample.num_rows:
        raise InputError(f"the file must have a row. Received: none ({path})")
    return sample


def is_number(text: str) -> bool:
    """Returns whether a text is a number in the usual notation."""
    return _NUMBER.fullmatch(text) is not None


def shown(text: str) -> str:
    """Returns a text from the data for a comment or a message: on one line, in ASCII, and not long."""
    return json.dumps(text if len(text) <= 40 else f"{text[:40]}...")


def _parquet(path: Path, max_rows: int) -> Sample:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    _check_columns(len(schema.names), path)
    kinds = list_leaves(schema)
    if twice := [name for name, number in collections.Counter(name for name, _ in kinds).items() if number > 1]:
        raise InputError(f"the file names columns twice: {twice[:5]} ({path})")
    names, wide = _without_wide_objects([name for name, _ in kinds], schema.names)
    stored = {name: "other" if name in wide else _stored(kind) for name, kind in kinds}
    used = [name for name in names if name and stored.get(name, "other") != "other"]
    table = _first_rows(file, used, min(max_rows, _MAX_CELLS // max(1, len(used))), path)
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
        while len(part) and num_bytes + part.nbytes > MAX_BYTES:
            part = part.slice(0, len(part) // 2)
        batches.append(part)
        num_rows, num_bytes = num_rows + len(part), num_bytes + part.nbytes
        if len(part) < len(whole) or num_rows == max_rows:
            break
    if file.metadata.num_rows and names and not num_rows:
        raise InputError(f"the file's first row must have at most {MAX_BYTES} bytes ({path})")
    return pa.Table.from_batches(batches, schema)


def _from_arrow(name: str, values: pa.Array) -> Column:
    stored = _stored(values.type)
    if stored == "other":
        return Column(name, stored, ())
    if stored == "list":
        return Column(name, stored, tuple(tuple(map(_text, items or ())) for items in to_python(values)))
    if pa.types.is_timestamp(values.type):  # as texts in UTC, whatever the unit and the zone
        values = values.cast(pa.timestamp(values.type.unit)).cast(pa.string())
    return Column(name, stored, tuple((_text(value),) for value in to_python(values)))


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


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # ingestion rejects a text that is not UTF-8
        value = value.decode("utf-8", "backslashreplace")
    return "" if value is None or value != value else str(value).strip(WHITE_SPACE)  # NaN is not itself


def _jsonl(path: Path, max_rows: int) -> Sample:
    data, is_cut = _first_bytes(path)
    objects = (values for values in _json_rows(data) if values is not None)
    rows = list(itertools.islice(objects, max_rows + 1))
    if not rows:
        rule = "the lines of a jsonl file must be JSON objects" if data.strip() else "the file must have a row"
        raise InputError(f"{rule}. Received: none ({path})")
    is_whole = not is_cut and len(rows) <= max_rows
    own = dict.fromkeys(key for row in rows[:max_rows] for key in row)
    _check_columns(len(own), path)
    names, wide = _without_wide_objects(
        list(dict.fromkeys(name for row in rows[:max_rows] for name in names_in(row))), list(own)
    )
    num_rows = min(max_rows, _MAX_CELLS // len(names))
    columns = tuple(
        Column(name, "other", (), wide[name]) if name in wide else _from_json(name, values)
        for name in names
        if not _is_object(name, values := values_of(rows[:num_rows], name), names) or name in wide
    )
    return Sample(path, "jsonl", DelimitedText(), {}, columns, len(rows[:num_rows]), is_whole and len(rows) <= num_rows)


def _json_rows(data: bytes) -> Iterator[Any | None]:
    """Yields the object of each line that is not blank; None for a line that is none."""
    lines = Lines(io.BytesIO(data), Ingestion().max_row_bytes)
    return (row.values for row in json_records(lines) if row is not None)


def _without_wide_objects(names: Sequence[str], own: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Puts one column in place of each object with many members, if the file would have more than `_MAX_COLUMNS`.

    Args:
      names: The names of the columns; an object's members are columns.
      own: The names of the file's own columns, at most `_MAX_COLUMNS`.

    Returns:
      At most `_MAX_COLUMNS` names, and why the objects among them are left out, by their names. No object that is left
      out has fewer members than one whose members are columns.
    """
    if len(names) <= _MAX_COLUMNS:
        return list(names), {}
    is_own = frozenset(own)
    objects_on = {name: [] if name in is_own else _objects_on(name) for name in names}
    members = collections.Counter(parent for parent, _ in {pair for pairs in objects_on.values() for pair in pairs})

    def narrowed(most: int) -> dict[str, str]:
        """Returns for each name that of the first object on its path with more than `most` members, or itself."""
        wide = {parent for parent, number in members.items() if number > most}
        return {name: next((p for p, _ in pairs if p in wide), name) for name, pairs in objects_on.items()}

    limits = sorted({0, *members.values()})  # with 0, all columns are the file's own
    fits = bisect.bisect_left(limits, True, key=lambda most: len(set(narrowed(most).values())) > _MAX_COLUMNS)
    found = narrowed(limits[fits - 1])
    wide = {parent: f"an object of {members[parent]:,} members" for name, parent in found.items() if parent != name}
    return list(dict.fromkeys(found.values())), wide


def _objects_on(name: str) -> list[tuple[str, str]]:
    """Returns the objects on a path, from the outermost on, each with its member on the path."""
    keys = name.split(".")
    return [(".".join(keys[:number]), keys[number]) for number in range(1, len(keys))]


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
    return _text(value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value)


def _is_utf_8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _delimited(path: Path, max_rows: int) -> Sample:
    data, is_cut = _first_bytes(path)
    if b"\0" in data:
        raise InputError(f"a text file must be UTF-8, Latin-1 or Windows-1252; this one has NUL bytes ({path})")
    first_rows = list(itertools.islice(_json_rows(data), _NUM_JSON_LINES))
    if first_rows and None not in first_rows:
        raise InputError(
            "the name of a file whose lines are JSON objects must end in .jsonl or .ndjson, or in one of them and .gz "
            f"({path})"
        )
    encoding, why_encoding = _encoding(data)
    # As ingestion, which ends a line at a newline only.
    lines = list(io.StringIO(data.decode(encoding, "replace").removeprefix("\ufeff"), newline="\n"))
    delimiter, quoting, width, share = _form(lines[:_NUM_LINES], path)
    is_tsv = delimiter == "\t" and not quoting
    reasons = {"delimiter": f"{width} fields in {share:.1%} of the first lines", "encoding": why_encoding}
    if not quoting:
        reasons["quoting"] = "with quotes as text, more lines have the same number of fields"
    num_skipped = _junk(lines, delimiter, quoting, width)
    if num_skipped:
        junk = shown(lines[0].strip())
        reasons["skip_lines"] = f"without {width} fields, such as {junk}"
    rows = _rows(lines[num_skipped:], delimiter, quoting, width, max_rows + 2)
    names, why_names = _header(rows)
    if why_names:
        reasons["columns"] = why_names
    body = rows
    if _is_named(rows):
        body, num_skipped = rows[1:], num_skipped + bool(why_names)
    is_whole = not is_cut and len(body) <= max_rows
    body = [[text.strip(WHITE_SPACE) for text in row] for row in body[:max_rows]]
    text = DelimitedText(
        delimiter=None if delimiter == ("\t" if is_tsv else ",") else delimiter,
        quoting=None if is_tsv or quoting else False,
        columns=tuple(names) if why_names else (),
        encoding=encoding,
        skip_lines=num_skipped,
    )
    columns = tuple(Column(name, "text", tuple((row[at],) for row in body)) for at, name in enumerate(names))
    return Sample(path, "tsv" if is_tsv else "csv", text, reasons, columns, len(body), is_whole)


def _first_bytes(path: Path) -> tuple[bytes, bool]:
    """Returns a file's first bytes, up to the end of a line, and whether more follow."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if data[:2] == b"\x1f\x8b":
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if len(data) <= MAX_BYTES:
        return data, False
    if (end := data.rfind(b"\n", 0, MAX_BYTES) + 1) == 0:
        raise InputError(f"a text file must have a line end in its first {MAX_BYTES} bytes ({path})")
    return data[:end], True


def _encoding(data: bytes) -> tuple[Literal["utf-8", "latin-1", "windows-1252"], str]:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is not UTF-8"
    else:
        return "utf-8", ""
    if not re.search(rb"[\x80-\x9f]", data):
        return "latin-1", f"{where}, and all bytes are letters in Latin-1"
    if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", data):
        return "windows-1252", f"{where}, and has characters that Latin-1 lacks"
    return "latin-1", f"{where}, nor Windows-1252"


def _form(lines: Sequence[str], path: Path) -> tuple[str, bool, int, float]:
    """Returns the delimiter, whether quotes enclose fields, the number of fields, and the share of lines that have it.

    The best form is the one in which most lines have the same number of fields, two at least; of equal ones the one
    with more fields.
    """
    found = []
    for delimiter in _DELIMITERS:
        for quoting in (True, False):
            widths = collections.Counter(len(row) for row in _split(lines, delimiter, quoting) if row)
            width, number = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
            if width >= 2:
                share = number / sum(widths.values())
                prefers_quotes = quoting and (delimiter != "\t" or any('"' in line for line in lines))
                found.append((round(share, 2), width, prefers_quotes, delimiter, share))
    if not found:
        raise InputError(
            f"the lines must have fields between commas, tabs, semicolons or bars. Received: none ({path})"
        )
    _, width, quoting, delimiter, share = max(found)
    _check_columns(width, path)
    return delimiter, quoting, width, share


def _check_columns(number: int, path: Path) -> None:
    if not 1 <= number <= _MAX_COLUMNS:
        raise InputError(f"the file must have 1 to {_MAX_COLUMNS} columns. Received: {number} ({path})")


def _split(lines: Iterable[str], delimiter: str, quoting: bool) -> Iterable[list[str]]:
    """Yields the fields of each record; none of a line that cannot be read."""
    csv.field_size_limit(max(MAX_BYTES, csv.field_size_limit()))  # of the process: it is raised only
    if quoting:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield [""]


def _junk(lines: Sequence[str], delimiter: str, quoting: bool, width: int) -> int:
    """Returns the number of lines before the first one that has the usual number of fields."""
    for number, line in enumerate(lines[: _MAX_SKIPPED_LINES + 1]):
        if any(len(row) == width for row in _split([line], delimiter, quoting)):
            return number
    return 0


def _rows(lines: Iterable[str], delimiter: str, quoting: bool, width: int, max_rows: int) -> list[list[str]]:
    """Returns the rows with the usual number of fields, trimmed but for the first one."""
    rows = itertools.islice((row for row in _split(lines, delimiter, quoting) if len(row) == width), max_rows)
    return [[text.strip(WHITE_SPACE) if at else text for text in row] for at, row in enumerate(rows)]


def _is_named(rows: Sequence[Sequence[str]]) -> bool:
    """Returns whether there is a first row that names the columns.

    It does if it has no number, and some column has numbers below it; without such a column, if no text of it is a
    value of its column. With numbers, it does if they are whole, none of its texts is there twice or is a value of its
    column, and one that is neither a number nor means "no value" has numbers alone below it.
    """
    first = [text.strip(WHITE_SPACE) for text in rows[0]] if len(rows) > 1 else []
    if not any(first):
        return False
    columns = [[row[at] for row in rows[1:] if row[at]] for at in range(len(first))]
    is_new = all(text not in values for text, values in zip(first, columns, strict=True))
    if numbers := [text for text in first if is_number(text)]:
        if not all(map(str.isdecimal, numbers)) or len(set(first)) < len(first) or not is_new:
            return False
        texts = {text for text in first if text and not is_number(text)} - NULL_WORDS
        return any(text in texts and _are_numbers(values) for text, values in zip(first, columns, strict=True))
    if any(values and sum(map(is_number, values)) > 0.9 * len(values) for values in columns):
        return True
    return is_new


def _are_numbers(values: Sequence[str]) -> bool:
    found = [text for text in values if text not in NULL_WORDS]
    return bool(found) and all(map(is_number, found))


def _header(rows: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Returns the columns' names and, if the file's first row cannot give them, why not."""
    if not rows:
        return [], ""
    numbered = [f"column_{number}" for number in range(1, len(rows[0]) + 1)]
    if not _is_named(rows):
        return numbered, "the first row has values, not names; change the names here"
    names = [text.strip(WHITE_SPACE) for text in rows[0]]
    if all(names) and len(set(names)) == len(names) and names == rows[0]:
        return names, ""
    taken: set[str] = set()
    for at, name in enumerate(names):
        names[at] = name if name and name not in taken else f"{name or 'unnamed'}_{at + 1}"
        while names[at] in taken:
            names[at] += "_"
        taken.add(names[at])
    return names, "a name in the header line is empty, there twice or has spaces around it, so the line is skipped"
