"""The parts of a page: sections of sentences, facts, tables and figures, of plain text that the template escapes."""

from __future__ import annotations

import dataclasses
import itertools
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
    """A sentence, with the tone of its meaning, and a command to go on with, which may be empty."""

    text: str
    tone: Tone = ""
    command: str = ""


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

    @property
    def is_folded(self) -> bool:
        """Whether a narrow screen shows its rows as blocks: only up to three columns, mostly of numbers, fit there."""
        return len(self.columns) > 3 or any(not column.startswith("#") for column in self.columns[2:])

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
      data: Its data; shown on request, or at once below a chart as wide as the page if there are at most 12 rows.
      is_wide: Whether it is as wide as the page.
    """

    title: str
    words: str
    spec: Spec
    data: Table
    is_wide: bool = False


@dataclasses.dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request.

    Attributes:
      title: What they are.
      blocks: The blocks.
    """

    title: str
    blocks: Sequence[Block]

    @classmethod
    def of(cls, title: str, blocks: Sequence[Block]) -> list[Block]:
        """Returns a section's blocks with its sentences, and those of its first chart, before a fold of the others."""
        first = next((block for block in blocks if isinstance(block, Figure)), None)
        notes = [block for block in blocks if isinstance(block, Note)]
        others = [block for block in blocks if not isinstance(block, Note)]
        words = [Note(first.words)] if first else []
        return [*words, *notes, *([cls(title, others)] if others else [])]


Block: TypeAlias = Note | Facts | Table | Figure | Fold


@dataclasses.dataclass(frozen=True)
class Group:
    """Blocks of a section that follow each other.

    Attributes:
      title: The section's heading.
      blocks: The blocks.
      is_long: Whether they are facts, tables and figures; else they are sentences, and what is shown on request anyway.
    """

    title: str
    blocks: Sequence[Block]
    is_long: bool


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
      id: Its anchor.
      title: Its heading.
      blocks: Its contents, in order; never empty: what is absent is said in a sentence.
      is_open: Whether a narrow screen, too, shows its tables and figures at once.
    """

    id: str
    title: str
    blocks: Sequence[Block]
    is_open: bool = False

    @property
    def groups(self) -> list[Group]:
        """Its blocks, in order, those that a narrow screen shows on request apart from the others."""
        parted = itertools.groupby(self.blocks, key=lambda block: not isinstance(block, (Note, Fold)))
        return [Group(self.title, list(blocks), is_long) for is_long, blocks in parted]


@dataclasses.dataclass(frozen=True)
class Card:
    """A number in a page's head, with what there is to say of it: its interval, what it is compared with."""

    name: str
    value: str
    details: Sequence[str] = ()


def cut(text: str, most: int = MAX_TEXT) -> str:
    """Returns a text of bounded length, without characters that a page cannot hold."""
    shown = text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)
