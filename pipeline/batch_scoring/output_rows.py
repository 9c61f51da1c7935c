"""Writes scored rows to a csv, tsv or jsonl file."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from components.ingestion.rows import RawRow
from pipeline.batch_scoring.input_rows import InputRows
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError

SCORE = "score"
OUTPUT_FORMATS = ("csv", "tsv", "jsonl")

#: A lone surrogate, which a JSON text may have, has no bytes in UTF-8. The others stand for bytes that are not UTF-8.
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")

#: So many of the keys without a column are named.
_MAX_NAMED = 10


class OutputRows:
    """Writes rows with their scores; nine significant digits restore a float32 exactly.

    Args:
      file: The file to write.
      file_format: Its format: csv, tsv or jsonl.
      rows: The rows' file. Its columns are those of a csv or tsv file. A row of a jsonl file is written to jsonl with
        the keys that it has itself.
    """

    def __init__(self, file: TextIO, file_format: str, rows: InputRows) -> None:
        self._file, self._format, self._rows = file, file_format, rows
        self._columns = frozenset(rows.columns)
        self._num_with_others, self._others = 0, dict[str, None]()
        if file_format == "tsv":
            self._csv = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        elif file_format == "csv":
            self._csv = csv.writer(file, lineterminator="\n")
        if file_format != "jsonl":
            self._csv.writerow([*map(_text, rows.columns), SCORE])

    def write(self, row: RawRow, score: np.float32 | None) -> None:
        """Writes a row; an unreadable one has no value. Raises InputError if the file cannot hold a value."""
        values = row.values or {}
        if SCORE in values:
            where = f"{self._rows.place_of(row)} ({self._rows.path})"
            raise InputError(f"the input has a column `{SCORE}` already: {where}")
        if self._format == "jsonl":
            self._write_json(values, score)
            return
        if others := [name for name in values if name not in self._columns and self._rows.format == "jsonl"]:
            self._num_with_others += 1
            if len(self._others) < _MAX_NAMED:
                self._others |= dict.fromkeys(others[:_MAX_NAMED])
        number = "" if score is None else f"{score:.9g}"
        try:
            self._csv.writerow([*(_text(values.get(name)) for name in self._rows.columns), number])
        except csv.Error as error:  # only when writing tsv
            raise InputError(
                f"a tsv file cannot hold a tab or a line end in a value; write csv or jsonl. "
                f"Received: {self._rows.place_of(row)} ({self._rows.path})"
            ) from error

    @property
    def others_words(self) -> str:
        """What the file has no column for, as a sentence; an empty text if there is nothing."""
        if not self._num_with_others:
            return ""
        return (
            f"{self._num_with_others:,} rows have keys that none of the first {self._rows.num_first:,} rows has; the "
            f"{self._format} file has no columns for them, while jsonl output has all keys. Received: "
            f"{list(self._others)[:_MAX_NAMED]}"
        )

    def _write_json(self, values: Mapping[str, Any], score: np.float32 | None) -> None:
        number = None if score is None else float(f"{score:.9g}")
        names = values if self._rows.format == "jsonl" else [name for name in self._rows.columns if name in values]
        # A date or a decimal of a Parquet file is no JSON; csv and tsv have its text, too.
        written = {name: _finite(_plain(values[name])) for name in names}
        self._file.write(json.dumps({**written, SCORE: _finite(number)}, default=str, allow_nan=False) + "\n")


def _text(value: Any) -> Any:
    """Returns a value for csv and tsv; a list is joined so that ingestion can read it."""
    plain = _plain(value)
    if isinstance(plain, list):
        plain = DEFAULT_LIST_SEPARATOR.join(map(str, plain))
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", plain) if isinstance(plain, str) else plain


def _finite(value: Any) -> Any:
    """Returns a value for JSON, which has no NaN and no infinity: a Parquet file's are written as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):  # a Parquet map's entries are tuples
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
