"""Writes scored rows to a csv, tsv or jsonl file."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from components.ingestion.formats.raw_rows import RawRow, StoredTime
from pipeline.batch_scoring.input_rows import InputRows
from transform.config.columns import column_of
from transform.config.config import Config
from transform.errors import InputError
from transform.feature import IMPRESSIONS

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
      config: The model's config, by whose separators lists are joined in csv and tsv.
    """

    def __init__(self, file: TextIO, file_format: str, rows: InputRows, config: Config) -> None:
        self._file, self._format, self._rows = file, file_format, rows
        self._columns = frozenset(rows.columns)
        self._num_with_others, self._others = 0, dict[str, None]()
        self._separator = config.sources.impressions.list_separator
        features = sorted(config.spec.features, key=lambda f: f.source == IMPRESSIONS)  # a name of both is the log's
        self._separators = {
            name: config.sources.of(f.source).list_separator for f in features for name in (f.name, *column_of(f).names)
        }
        if file_format == "tsv":
            self._csv = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        else:
            self._csv = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if file_format != "jsonl":
            self._write_texts([*(_text(name, self._separator) for name in rows.columns), SCORE])

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
            texts = (_text(values.get(name), self._find_separator(name)) for name in self._rows.columns)
            self._write_texts([*texts, number])
        except csv.Error as error:  # only when writing tsv
            raise InputError(
                f"a tsv file cannot hold a tab or a line end in a value; write csv or jsonl. "
                f"Received: {self._rows.place_of(row)} ({self._rows.path})"
            ) from error

    def _find_separator(self, name: str) -> str:
        return self._separators.get(name, self._separator)

    def _write_texts(self, texts: Sequence[Any]) -> None:
        """Writes a line; raises csv.Error if tsv cannot hold a text."""
        if not any(isinstance(text, str) and "\r" in text for text in texts):
            self._csv.writerow(texts)
        elif self._format == "tsv":
            raise csv.Error("a carriage return")
        else:  # Python's csv module quotes a carriage return only where it ends the lines
            self._quoted.writerow(texts)

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


def _text(value: Any, separator: str) -> Any:
    """Returns a value for csv and tsv; a list is joined so that ingestion can read it, and an object is JSON."""
    plain = _plain(value)
    if isinstance(plain, list) and not any(isinstance(item, dict | list) for item in plain):
        plain = separator.join("" if item is None else str(_spelled(item)) for item in plain)
    plain = _spelled(plain)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", plain) if isinstance(plain, str) else plain


def _spelled(value: Any) -> Any:
    """Returns an object, a list or a boolean as JSON; any other value as it is."""
    if isinstance(value, dict | list | bool):
        return json.dumps(_finite(value), default=str, allow_nan=False, ensure_ascii=False)
    return value


def _finite(value: Any) -> Any:
    """Returns a value for JSON, which has no NaN and no infinity: a Parquet file's are written as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Returns a value as text, number, boolean, list or object; a date, a decimal and the like as they are."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, StoredTime):
        return _time_text(value)
    if isinstance(value, list | tuple):  # a Parquet map's entries are tuples
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _time_text(time: StoredTime) -> str:
    """Returns a time as ISO 8601 text, to the microsecond if it has a fraction."""
    microseconds = min(round(time % 1 * 1_000_000), 999_999)
    if not microseconds:
        return time.text
    whole = time.text.removesuffix("Z")
    return f"{whole}.{microseconds:06d}{time.text[len(whole) :]}"
