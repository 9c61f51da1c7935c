"""The first rows of a file, from which a config is guessed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path
from typing import Any, Literal

from transform.config.sources import DelimitedText, Format
from transform.errors import InputError
from transform.raw_texts import trimmed

#: The bytes of a text file, decompressed, or of a Parquet file's columns in memory, from which everything is guessed.
MAX_BYTES = 16 << 20

#: The values of a Parquet or jsonl file from which everything is guessed.
MAX_CELLS = 4_000_000

MAX_COLUMNS = 1000

#: Texts that mean "no value" in many logs.
NULL_WORDS = frozenset({"?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "Null", "null", "None", "none", "\\N", "#N/A"})

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Stored = Literal["text", "integer", "number", "boolean", "time", "list", "other"]


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


def is_number(text: str) -> bool:
    """Returns whether a text is a number in the usual notation."""
    return _NUMBER.fullmatch(text) is not None


def shown(text: str) -> str:
    """Returns a text from the data for a comment or a message: on one line, in ASCII, and not long."""
    return json.dumps(text if len(text) <= 40 else f"{text[:40]}...")


def to_text(value: Any) -> str:
    """Returns a value as trimmed text; an empty text for none."""
    if isinstance(value, bytes):  # ingestion rejects a text that is not UTF-8
        value = value.decode("utf-8", "backslashreplace")
    return "" if value is None or value != value else trimmed(str(value))  # NaN is not itself


def check_columns(number: int, path: Path) -> None:
    """Raises InputError if a file has no columns or too many."""
    if not 1 <= number <= MAX_COLUMNS:
        raise InputError(f"the file must have 1 to {MAX_COLUMNS} columns. Received: {number} ({path})")


def first_bytes(path: Path) -> tuple[bytes, bool]:
    """Returns a file's first bytes, up to the end of a line, and whether more follow."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if data[:2] == b"\x1f\x8b":
        raise InputError(f"the name of a gzip-compressed file must end in .gz ({path})")
    if len(data) <= MAX_BYTES:
        return data, False
    line_end = b"\n" if b"\n" in data else b"\r"
    if (end := data.rfind(line_end, 0, MAX_BYTES) + 1) == 0:
        raise InputError(f"a text file must have a line end in its first {MAX_BYTES} bytes ({path})")
    return data[:end], True
