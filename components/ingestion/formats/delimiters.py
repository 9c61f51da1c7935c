"""What stands between the fields of a line: one character, several, or a run of blanks."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from transform.config.sources import DelimitedText
from transform.raw_texts import BLANKS

Positions = npt.NDArray[Any]

#: It stands for a delimiter of several characters where the csv module reads: no line has it, as bytes that are not
#: UTF-8 become other surrogates (see `Lines`).
_ONE = "\ud800"

_BLANK, _TAB = ord(" "), ord("\t")
_AT_ENDS = re.compile(r"^[ \t]+|[ \t]+(?=[\r\n]*$)")
_RUN = re.compile(r"[ \t]+")
_QUOTED_OR_RUN = re.compile(r'(?<![^ \t])("(?:[^"]|"")*")|[ \t]+')


class Places(NamedTuple):
    """Where the delimiters of some bytes are.

    Attributes:
      starts: The place of the first byte of each, ascending, int64 `[n]`.
      ends: The place after its last byte, int64 `[n]`.
      unclear: Places in lines where delimiters may overlap, as `::` does in `:::`.
    """

    starts: Positions
    ends: Positions
    unclear: Positions


@dataclasses.dataclass(frozen=True)
class Delimiter:
    """The delimiter of a csv or tsv source.

    Attributes:
      text: One or more ASCII characters, or `BLANKS`.
      may_quote: Whether a field may stand in double quotes.
    """

    text: str
    may_quote: bool

    @property
    def is_blanks(self) -> bool:
        """Whether it is a run of blanks and tabs; such a run at either end of a line is no delimiter."""
        return self.text == BLANKS

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Returns the fields of each record, as `csv.reader`, which goes on after a csv.Error."""
        settings: dict[str, Any] = {"strict": True} if self.may_quote else {"quoting": csv.QUOTE_NONE}
        if len(self.text) == 1:
            return csv.reader(lines, delimiter=self.text, **settings)
        return map(self._restored, csv.reader(map(self._replaced, lines), delimiter=_ONE, **settings))

    def _replaced(self, line: str) -> str:
        if not self.is_blanks:
            return line.replace(self.text, _ONE)
        line = _AT_ENDS.sub("", line)
        return _QUOTED_OR_RUN.sub(lambda m: m[1] or _ONE, line) if self.may_quote else _RUN.sub(_ONE, line)

    def _restored(self, fields: list[str]) -> list[str]:
        return fields if self.is_blanks else [text.replace(_ONE, self.text) for text in fields]

    def in_message(self, text: str) -> str:
        """Returns a message of the csv module with this delimiter in it."""
        return text.replace(_ONE, self.text)

    def places(self, data: Positions) -> Places:
        """Finds the delimiters in bytes, uint8 `[n]`."""
        none = np.zeros(0, np.int64)
        if self.is_blanks:
            padded = np.zeros(len(data) + 2, np.int8)
            padded[1:-1] = (data == _BLANK) | (data == _TAB)
            changes = np.diff(padded)
            return Places(np.flatnonzero(changes == 1), np.flatnonzero(changes == -1), none)
        size = len(self.text)
        is_here = data[: max(len(data) - size + 1, 0)] == ord(self.text[0])
        for at in range(1, size):
            is_here &= data[at : at + len(is_here)] == ord(self.text[at])
        starts = np.flatnonzero(is_here)
        return Places(starts, starts + size, starts[1:][np.diff(starts) < size] if size > 1 else none)


def delimiter_of(file_format: str, text: DelimitedText) -> Delimiter:
    """Returns the delimiter of a csv or tsv source."""
    is_tsv = file_format == "tsv"  # tab-separated files have no quoting: a quote is text
    may_quote = text.quoting if text.quoting is not None else not is_tsv
    return Delimiter(text.delimiter or ("\t" if is_tsv else ","), may_quote)
