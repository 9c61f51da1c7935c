"""Reads the first rows of a text file with a delimiter, and guesses its form."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.initial_config.samples.objects import json_rows
from pipeline.initial_config.samples.sample import (
    NULL_WORDS,
    Column,
    Sample,
    first_bytes,
    is_number,
    shown,
)
from pipeline.initial_config.samples.text_form import (
    TextForm,
    count_junk,
    guess_form,
    rows_of_form,
    split_records,
)
from transform.config.sources import DelimitedText
from transform.errors import InputError
from transform.raw_texts import trimmed

#: What a message says of a file in none of the encodings that ingestion reads.
_ENCODINGS = "a text file must be UTF-8, Latin-1 or Windows-1252"
_CONVERT = "`iconv -f {} -t UTF-8` writes a file of this encoding in UTF-8, and `iconv -l` lists others"

#: In Latin letters fewer than so many that are not ASCII stand side by side; in Cyrillic or Japanese ones most do.
_MIN_RUN = 3

#: In UTF-16, every second byte of Latin letters is NUL.
_MIN_NULS = 0.25

#: A file is UTF-8 with damaged bytes if at most so many of its bytes that are not ASCII are no part of a character.
_MAX_DAMAGED = 0.1

#: The lines that are JSON objects in a jsonl file.
_NUM_JSON_LINES = 10


def read_delimited(path: Path, max_rows: int) -> Sample:
    """Reads the first rows, as `read_sample`."""
    data, is_cut = first_bytes(path)
    if not data.strip():
        raise InputError(f"the file must have a row. Received: none ({path})")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data.count(b"\0") > _MIN_NULS * len(data):
            raise InputError(f"{_ENCODINGS}. Received: UTF-16, by its bytes; {_CONVERT.format('UTF-16')} ({path})")
        raise InputError(f"a text file must have no NUL byte. Received: one in line {line:,} ({path})")
    first_rows = list(itertools.islice(json_rows(data), _NUM_JSON_LINES))
    if first_rows and None not in first_rows:
        raise InputError(
            "the name of a file whose lines are JSON objects must end in .jsonl or .ndjson, or in one of them and .gz "
            f"({path})"
        )
    encoding, why_encoding = _encoding(data, path)
    reasons = {}
    if is_cr := b"\r" in data and b"\n" not in data:
        data, reasons["line_end"] = data.replace(b"\r", b"\n"), "there are carriage returns and no newline"
    # As ingestion, which ends a line at a newline only.
    lines = list(io.StringIO(data.decode(encoding, "replace").removeprefix("\ufeff"), newline="\n"))
    form = guess_form(lines, path)
    (delimiter, quoting), width = dataclasses.astuple(form.delimiter), form.width
    is_tsv = delimiter == "\t" and not quoting
    reasons |= {"delimiter": f"{width} fields in {form.share:.1%} of the first lines", "encoding": why_encoding}
    reasons["format"] = "; ".join(filter(None, [form.odd, why_encoding if encoding == "utf-8" else ""]))
    if not quoting:
        reasons["quoting"] = "with quotes as text, more lines have the same number of fields"
    num_skipped = count_junk(lines, form)
    if num_skipped:
        junk = shown(lines[0].strip())
        reasons["skip_lines"] = f"without {width} fields, such as {junk}"
    rows = rows_of_form(lines[num_skipped:], form, max_rows + 2)
    names, why_names = _header(rows)
    short = _short_header(lines[num_skipped - 1], form, rows, path) if num_skipped else []
    is_short = bool(short)
    if is_short:
        names, why_names = short, "the header line has a name fewer than the rows have fields, so it is skipped"
    if why_names:
        reasons["columns"] = why_names
    body = rows
    if _is_named(rows) and not is_short:
        body, num_skipped = rows[1:], num_skipped + bool(why_names)
    is_whole = not is_cut and len(body) <= max_rows
    body = [list(map(trimmed, row)) for row in body[:max_rows]]
    text = DelimitedText(
        delimiter=None if delimiter == ("\t" if is_tsv else ",") else delimiter,
        quoting=None if is_tsv or quoting else False,
        columns=tuple(names) if why_names else (),
        encoding=encoding,
        line_end="cr" if is_cr else "lf",
        skip_lines=num_skipped,
    )
    columns = tuple(Column(name, "text", tuple((row[at],) for row in body)) for at, name in enumerate(names))
    return Sample(path, "tsv" if is_tsv else "csv", text, reasons, columns, len(body), is_whole)


def _encoding(data: bytes, path: Path) -> tuple[Literal["utf-8", "latin-1", "windows-1252"], str]:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        at, where = error.start, f"byte {error.start} is not UTF-8"
    else:
        return "utf-8", ""
    runs = re.findall(rb"[\x80-\xff]+", data)
    num_others, line = sum(map(len, runs)), data.count(b"\n", 0, at) + 1
    if len(data) - len(data.decode("utf-8", "ignore").encode()) <= _MAX_DAMAGED * num_others:
        return "utf-8", f"a row with a byte that is not UTF-8 is rejected, as line {line:,}"
    if sum(len(run) for run in runs if len(run) >= _MIN_RUN) > num_others / 2:
        raise InputError(
            f"{_ENCODINGS}. Received: bytes that are not ASCII side by side, as in another alphabet, the first in line "
            f"{line:,}; {_CONVERT.format('WINDOWS-1251')} ({path})"
        )
    if not re.search(rb"[\x80-\x9f]", data):
        return "latin-1", f"{where}, and all bytes are letters in Latin-1"
    if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", data):
        return "windows-1252", f"{where}, and has characters that Latin-1 lacks"
    return "latin-1", f"{where}, nor Windows-1252"


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


def _short_header(line: str, form: TextForm, rows: Sequence[Sequence[str]], path: Path) -> list[str]:
    """Returns the columns' names if the line before the rows names all but one; else none.

    Without a name is the last column if it is empty, as where each row ends in a delimiter, or the first one if it has
    another value in each row, as where a program writes rows with their names.

    Raises:
      InputError: If it may be any column.
    """
    fields = next((list(map(trimmed, row)) for _, row in split_records([line], form.delimiter)), [])
    if len(fields) != form.width - 1 or not all(fields) or any(map(is_number, fields)) or len({*fields}) < len(fields):
        return []
    is_last = not any(row[-1] for row in rows)
    if not is_last and len({row[0] for row in rows}) < len(rows):
        raise InputError(
            f"the header line must name each column, but the rows have {form.width} fields; which column has no name "
            f"cannot be told. Received: {len(fields)} names, {shown(line.strip())} ({path})"
        )
    name = "unnamed"
    while name in fields:
        name += "_"
    return [*fields, name] if is_last else [name, *fields]


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
