"""Rows that do not become examples, and why."""

from __future__ import annotations

from typing import Any, NamedTuple

from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS


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
    """A row that does not become an example, and the reason.

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

    def to_dict(self) -> dict[str, Any]:
        """Returns the dict that the quarantine stores."""
        return self._asdict()


def kept_text(text: str) -> str:
    """Prepares a row's text for the quarantine: cuts it, and escapes what is not UTF-8."""
    return text[:MAX_KEPT_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")
