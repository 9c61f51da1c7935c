"""A file of raw rows to score or to explain: its format, how its text is read, and its columns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.ingestion.files import open_file
from components.ingestion.nested import flat, has_column, is_path
from components.ingestion.readers import (
    PLAIN_TEXT,
    Progress,
    read_header,
    read_members,
    read_objects,
    read_rows,
    told_as_user_error,
    unit_of,
)
from components.ingestion.rows import RawRow
from transform.config.config import Config, column_of
from transform.config.sources import DelimitedText
from transform.errors import InputError
from transform.feature_spec import IMPRESSIONS

INPUT_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}


@dataclasses.dataclass(frozen=True)
class InputRows:
    """A file of raw rows.

    Attributes:
      path: The file.
      format: Its format.
      text: How a csv or tsv file is read.
      columns: Its own columns.
      members: The config's columns that are members of its nested objects.
    """

    path: str
    format: str
    text: DelimitedText
    columns: tuple[str, ...]
    members: tuple[str, ...]

    @property
    def readable(self) -> tuple[str, ...]:
        """The columns from which features can be read."""
        return self.columns + self.members

    def read(self, config: Config) -> Iterator[RawRow]:
        """Yields the rows; the values of a jsonl row are its object as it stands in the file."""
        if self.format == "jsonl":
            return read_objects(self.path, config.ingestion)
        return read_rows(self.path, self.format, self.readable, config.ingestion, text=self.text)

    def values(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a row's values by the names of `readable`."""
        return flat(row, self.readable) if self.format == "jsonl" else row

    def place_of(self, row: RawRow) -> str:
        """Where a row is in the file, for messages."""
        return f"{unit_of(self.format)} {row.number}"

    @property
    def text_words(self) -> str:
        """How the text was read, for messages; an empty text if it was read in the format's usual form."""
        if self.text == PLAIN_TEXT:
            return ""
        usual = dataclasses.asdict(PLAIN_TEXT)
        own = {name: value for name, value in dataclasses.asdict(self.text).items() if value != usual[name]}
        own |= {"columns": len(self.text.columns)} if self.text.columns else {}
        words = ", ".join(f"{name}: {value!r}" for name, value in own.items())
        return f"the file was read by the log's `text` settings ({words}); --plain reads its usual form"


def input_rows(config: Config, path: str, *, plain: bool = False) -> InputRows:
    """Looks at a file of raw rows.

    Args:
      config: The model's config. A csv or tsv file of the log's format is read by the log's `text` settings.
      path: The file: csv, tsv, jsonl (each also with `.gz`) or parquet, by its name's ending.
      plain: Whether a csv or tsv file is in its format's usual form, whatever the log's settings.

    Raises:
      InputError: If the file's name has another ending, or it cannot be read.
    """
    file_format, log = format_of(path), config.sources.impressions
    text = log.text if file_format == log.format and not plain else PLAIN_TEXT
    columns = read_header(path, file_format, text) or list(_first_object(path))
    return InputRows(path, file_format, text, tuple(columns), tuple(_members_of(config, path, file_format, columns)))


def _members_of(config: Config, path: str, input_format: str, columns: Sequence[str]) -> list[str]:
    """The columns of a config that are members of nested objects in a file of raw rows.

    Args:
      config: The config.
      path: The file.
      input_format: Its format.
      columns: The file's own columns.

    Returns:
      Their names. Those of a jsonl file are the members of its first row. A null in place of an object counts as an
      object with all members of the log, but with none of a table's, which is looked up where a member is missing.
    """
    of_log = {table.log_column for table in config.sources.tables.values()}
    of_log.update(name for feature in config.features_of(IMPRESSIONS) for name in column_of(feature).names)
    of_tables = {name for feature in config.spec.features for name in column_of(feature).names} - of_log
    names = [name for name in sorted(of_log | of_tables) if is_path(name) and name not in columns]
    if input_format == "parquet" and names:
        return read_members(path, names)
    if input_format == "jsonl" and names:
        first = _first_object(path)
        return [name for name in names if has_column(first, name, null_has_any=name in of_log)]
    return []


def format_of(path: str) -> str:
    """The format of a file of raw rows, by its name's ending; raises InputError for another ending."""
    for ending, name in INPUT_FORMATS.items():
        if path.removesuffix(".gz").endswith(ending):
            return name
    raise InputError(f"the file's name must end in one of {sorted(INPUT_FORMATS)}. Received: {path}")


def _first_object(path: str) -> dict[str, Any]:
    """Returns the first row of a jsonl file; every row of the file must have the same keys."""
    with told_as_user_error(path, Progress(unit_of("jsonl"))), open_file(path) as stream:
        line = stream.readline(1_000_000)
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"the first line must be a JSON object: {error} ({path})") from error
    if not isinstance(row, dict):
        raise InputError(f"the first line must be a JSON object. Received: {type(row).__name__} ({path})")
    return row
