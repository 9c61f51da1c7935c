"""The parts of a page: sections of sentences, facts, tables and figures, of plain text that the template escapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

#: Maximum number of rows of a table: a page's size must not grow with the data's.
MAX_ROWS = 60

#: Maximum number of characters of a cell or a sentence that comes from the data, such as a token.
MAX_TEXT = 2000

#: Maximum number of characters of a name in a chart.
MAX_NAME = 120

#: The meaning of a text, shown by a word and a colour.
Tone: TypeAlias = Literal["", "good", "bad", "warn", "quiet"]

#: A Vega-Lite specification.
Spec: TypeAlias = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Note:
    """A sentence, with the tone of its meaning."""

    text: str
    tone: Tone = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Pairs of a name and a value."""

    items: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      caption: What it shows.
      columns: The headers; one that starts with "#" is of numbers, which are aligned to the right.
      rows: The cells, row by row; the first cell of a row is its header.
      left_out: The number of rows that are not shown.
      is_half: Whether two such tables fit beside each other on a wide screen.
      tones: The tone of each row's last cell; empty if none has one.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0
    is_half: bool = False
    tones: Sequence[Tone] = ()

    @classmethod
    def bounded(
        cls, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, is_half: bool = False
    ) -> Table:
        """Returns a table of the first `MAX_ROWS` rows, which says how many there are besides."""
        return cls(caption, columns, rows[:MAX_ROWS], max(len(rows) - MAX_ROWS, 0), is_half)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart, with what it shows in words and its data as a table.

    Attributes:
      title: Its title.
      words: What it shows, for a reader who does not see it.
      spec: The chart.
      data: Its data; shown on request, or at once below a chart as wide as the page.
      is_wide: Whether it is as wide as the page.
    """

    title: str
    words: str
    spec: Spec
    data: Table
    is_wide: bool = False


Block: TypeAlias = Note | Facts | Table | Figure


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
      id: Its anchor.
      title: Its heading.
      blocks: Its contents, in order; never empty: what is absent is said in a sentence.
    """

    id: str
    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Card:
    """A number in a page's head; its detail, which may be empty, says what it is compared with."""

    name: str
    value: str
    detail: str = ""


def cut(text: str, most: int = MAX_TEXT) -> str:
    """Returns a text of bounded length, without characters that a page cannot hold."""
    shown = text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)
