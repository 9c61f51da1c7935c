"""Reads the first rows of a text file with a delimiter, and guesses its form."""

from __future__ import annotations

import collections
import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pipeline.initial_config.samples import sample
from pipeline.initial_config.samples.objects import json_rows
from pipeline.initial_config.samples.sample import (
    NULL_WORDS,
    Column,
    Sample,
    check_columns,
    first_bytes,
    is_number,
    shown,
)
from transform.config.sources import DelimitedText
from transform.errors import InputError
from transform.raw_texts import trimmed

#: The lines by which delimiter and quoting are guessed.
_NUM_LINES = 2000

#: The lines that are JSON objects in a jsonl file.
_NUM_JSON_LINES = 10

_DELIMITERS = (",", "\t", ";", "|")
_MAX_SKIPPED_LINES = 20


def read_delimited(path: Path, max_rows: int) -> Sample:
    """Reads the first rows, as `read_sample`."""
    data, is_cut = first_bytes(path)
    if b"\0" in data:
        raise InputError(f"a text file must be UTF-8, Latin-1 or Windows-1252; this one has NUL bytes ({path})")
    first_rows = list(itertools.islice(json_rows(data), _NUM_JSON_LINES))
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
    body = [list(map(trimmed, row)) for row in body[:max_rows]]
    text = DelimitedText(
        delimiter=None if delimiter == ("\t" if is_tsv else ",") else delimiter,
        quoting=None if is_tsv or quoting else False,
        columns=tuple(names) if why_names else (),
        encoding=encoding,
        skip_lines=num_skipped,
    )
    columns = tuple(Column(name, "text", tuple((row[at],) for row in body)) for at, name in enumerate(names))
    return Sample(path, "tsv" if is_tsv else "csv", text, reasons, columns, len(body), is_whole)


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
    check_columns(width, path)
    return delimiter, quoting, width, share


def _split(lines: Iterable[str], delimiter: str, quoting: bool) -> Iterable[list[str]]:
    """Yields the fields of each record; none of a line that cannot be read."""
    csv.field_size_limit(max(sample.MAX_BYTES, csv.field_size_limit()))  # of the process: it is raised only
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
    return [[trimmed(text) if at else text for text in row] for at, row in enumerate(rows)]


def _is_named(rows: Sequence[Sequence[str]]) -> bool:
    """Returns whether there is a first row that names the columns.

    It does if it has no number, and some column has numbers below it; without such a column, if no text of it is a
    value of its column. With numbers, it does if they are whole, none of its texts is there twice or is a value of its
    column, and one that is neither a number nor means "no value" has numbers alone below it.
    """
    first = list(map(trimmed, rows[0])) if len(rows) > 1 else []
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
    names = list(map(trimmed, rows[0]))
    if all(names) and len(set(names)) == len(names) and names == rows[0]:
        return names, ""
    taken: set[str] = set()
    for at, name in enumerate(names):
        names[at] = name if name and name not in taken else f"{name or 'unnamed'}_{at + 1}"
        while names[at] in taken:
            names[at] += "_"
        taken.add(names[at])
    return names, "a name in the header line is empty, there twice or has spaces around it, so the line is skipped"
