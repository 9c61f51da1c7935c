"""Guesses how a text file's lines are fields: delimiter, quotes, and the lines that are no rows."""

from __future__ import annotations

import collections
import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from components.ingestion.formats.delimiters import Delimiter
from pipeline.initial_config.samples import sample
from pipeline.initial_config.samples.sample import check_columns, shown
from transform.errors import InputError
from transform.raw_texts import BLANKS, trimmed

#: The lines by which delimiter and quoting are guessed.
_NUM_LINES = 2000

#: A bar or a colon twice or three times is one delimiter, unless the bar stands alone somewhere.
_DOUBLED = ("::", "||", "|||")
_DELIMITERS = (",", "\t", ";", "|", *_DOUBLED, "<SEP>", "\x01")

#: Blanks part the fields if so many lines have the same number of fields then.
_MIN_BLANKS_SHARE = 0.9
_ALIGNED = re.compile(r"\S[ \t]*[ \t]{2}[ \t]*\S")

_MAX_SKIPPED_LINES = 20


class TextForm(NamedTuple):
    """How lines are fields.

    Attributes:
      delimiter: What parts them.
      width: The usual number of fields.
      share: The share of the first records that have it.
      odd: What is said of the other records; an empty text if there are none.
    """

    delimiter: Delimiter
    width: int
    share: float
    odd: str


def guess_form(lines: Sequence[str], path: Path) -> TextForm:
    """Returns the form in which most of the first lines have the same number of fields, two at least.

    Of equal ones it is the one with more fields. Blanks are a delimiter where most lines have several in a row, or if
    no other delimiter is one.
    """
    lines = lines[:_NUM_LINES]
    text = "".join(lines)
    doubled = [d for d in _DOUBLED if d in text and text.count(d[0]) == len(d) * text.count(d)]
    longest = doubled[-1:]
    delimiters = [d for d in _DELIMITERS if d in text and not (longest and d != longest[0] and d[0] == longest[0][0])]
    found = [form for text in delimiters if (form := _form(lines, text)) is not None]
    is_aligned = sum(map(bool, map(_ALIGNED.search, lines))) > len(lines) / 2
    if is_aligned or max((form.share for form in found), default=0) < _MIN_BLANKS_SHARE:
        found += [form for form in [_form(lines, BLANKS)] if form is not None and form.share >= _MIN_BLANKS_SHARE]
    if not found:
        raise InputError(
            "the lines must have fields between commas, tabs, semicolons, bars, double colons or blanks. Received: "
            f"none, as in line 1, {shown(lines[0].strip())} ({path})"
        )
    form = max(found, key=lambda form: (round(form.share, 2), form.width, form.delimiter.text))
    check_columns(form.width, path)
    return form._replace(odd=_odd(lines, form.delimiter, form.width))


def _form(lines: Sequence[str], text: str) -> TextForm | None:
    """Returns the form with a delimiter; quotes enclose fields unless more lines have one width with quotes as text."""
    found: list[TextForm] = []
    for quoting in (True, False):
        delimiter = Delimiter(text, quoting)
        widths = collections.Counter(len(row) for _, row in split_records(lines, delimiter) if row)
        width, number = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        if width >= 2:
            found.append(TextForm(delimiter, width, number / sum(widths.values()), ""))
    if text == "\t" and not any('"' in line for line in lines):
        found.reverse()
    return max(found, key=lambda form: round(form.share, 2), default=None)


def split_records(lines: Sequence[str], delimiter: Delimiter) -> Iterator[tuple[int, list[str]]]:
    """Yields each record's first line, from 1, and its fields: none of a blank line, one of an unreadable record."""
    csv.field_size_limit(max(sample.MAX_BYTES, csv.field_size_limit()))  # of the process: it is raised only
    number = 0

    def counted() -> Iterator[str]:
        nonlocal number
        for line in lines:
            number += 1
            yield line

    records = delimiter.records(counted())
    while True:
        first = number + 1
        try:
            yield first, next(records)
        except StopIteration:
            return
        except csv.Error:
            yield first, [""]


def count_junk(lines: Sequence[str], form: TextForm) -> int:
    """Returns the number of lines before the first one that has the usual number of fields."""
    for number, line in enumerate(lines[: _MAX_SKIPPED_LINES + 1]):
        if any(len(row) == form.width for _, row in split_records([line], form.delimiter)):
            return number
    return 0


def rows_of_form(lines: Sequence[str], form: TextForm, max_rows: int) -> list[list[str]]:
    """Returns the rows with the usual number of fields, trimmed but for the first one."""
    records = split_records(lines, form.delimiter)
    rows = itertools.islice((row for _, row in records if len(row) == form.width), max_rows)
    return [[trimmed(text) if at else text for text in row] for at, row in enumerate(rows)]


def _odd(lines: Sequence[str], delimiter: Delimiter, width: int) -> str:
    records = [(line, len(row)) for line, row in split_records(lines, delimiter) if row]
    start = next((at for at, (_, number) in enumerate(records) if number == width), 0)
    odd = [line for line, number in records[start:] if number != width]
    if not odd:
        return ""
    return (
        f"{len(odd):,} of the first {len(records):,} rows are rejected as they have not {width} fields, the first at "
        f"line {odd[0]}"
    )
