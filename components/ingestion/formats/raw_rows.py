"""Rows as a file's reader returns them, before their values are parsed, and rows that do not become examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

#: The number of characters of a rejected row that the quarantine keeps.
MAX_KEPT_CHARACTERS = 65_536


class RawRow(NamedTuple):
    """A row as returned by a reader, before parsing.

    Attributes:
      number: In a text file the number of its first line, the file's first line being 1; else the number of the row.
      values: The raw value by column: bytes, str, number, list or None; a tuple where the format does not distinguish
        a list from a single value; a `BadMember` where a path leads through something else than an object. None if
        the row is unreadable.
      reason: A short code for why the row is unreadable; empty if it is readable.
      detail: The reason as text.
      text: The row's text for the quarantine, if `values` is None.
      num_lines: The number of lines that the row spans in a text file.
    """

    number: int
    values: Mapping[str, Any] | None
    reason: str = ""
    detail: str = ""
    text: str = ""
    num_lines: int = 1


class StoredTime(float):
    """A time that a file stores as such: its seconds since 1970.

    Attributes:
      text: The time as an ISO 8601 text without fraction: with a Z if the file stores an instant, else in local time.
    """

    text: str

    def __new__(cls, seconds: float, text: str) -> StoredTime:
        """Returns the seconds with the text."""
        time = super().__new__(cls, seconds)
        time.text = text
        return time


@dataclasses.dataclass(frozen=True)
class OddValue:
    """A value that a file stores and that Python has no value for, such as a date after 9999: no column allows it.

    Attributes:
      words: Its type in the file and its number, for messages.
    """

    words: str

    def __str__(self) -> str:
        return self.words


@dataclasses.dataclass(frozen=True)
class BadMember:
    """The value of a column whose path leads through something else than an object; its row is rejected (`nested`).

    Attributes:
      detail: The rule, and what was received, as text.
    """

    detail: str

    def __repr__(self) -> str:  # in the quarantine's text of the row; `detail` is beside it
        return "<no member>"


class RowError(Exception):
    """A row that cannot be read, or a value that breaks its column's rule.

    Attributes:
      reason: A short code for the reason.
      detail: The reason as text.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Rejection(NamedTuple):
    """A row that does not become an example, and the reason; the quarantine has it as a JSON object of these fields.

    Attributes:
      source: The source.
      file: The file.
      line: In a text file the number of the row's first line, the file's first line being 1; else the row's number.
      reason: A short code for the reason.
      detail: The reason as text.
      text: The row's text, at most `MAX_KEPT_CHARACTERS` characters.
    """

    source: str
    file: str
    line: int
    reason: str
    detail: str
    text: str


def kept_text(text: str) -> str:
    """Prepares a row's text for the quarantine: cuts it, and escapes what is not UTF-8."""
    return text[:MAX_KEPT_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")
