"""A file of raw rows to score or to explain: its format, how its text is read, and its columns."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Container, Iterator, Sequence

from components.ingestion.formats.blocks import RawBlock
from components.ingestion.formats.files import close_names
from components.ingestion.formats.nested import flat, has_column, is_path
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import PLAIN_TEXT, read_blocks, read_header, read_members, unit_of
from transform.config.columns import column_of
from transform.config.config import Config
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError
from transform.feature import IMPRESSIONS

INPUT_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}

#: A jsonl file's columns are the keys of at most so many rows, from the first.
MAX_FIRST = 1000


@dataclasses.dataclass(frozen=True)
class InputRows:
    """A file of raw rows.

    Attributes:
      path: The file.
      format: Its format.
      text: How a csv or tsv file is read.
      columns: Its own columns; of jsonl, the keys of its first rows.
      members: The config's columns that are members of its nested objects.
      num_first: Of jsonl: the number of those first rows.
    """

    path: str
    format: str
    text: DelimitedText
    columns: tuple[str, ...]
    members: tuple[str, ...]
    num_first: int = 0

    @property
    def may_lack(self) -> bool:
        """Whether a row may lack columns, whose values are then missing."""
        return self.format == "jsonl"

    @property
    def readable(self) -> tuple[str, ...]:
        """The columns from which features can be read."""
        return self.columns + self.members

    def read(self, config: Config) -> Iterator[RawBlock]:
        """Yields the rows in blocks; the values of a jsonl row are its object as it stands in the file."""
        columns = None if self.format == "jsonl" else self.readable
        return read_blocks(self.path, self.format, columns, config.ingestion, text=self.text)

    def flatten(self, block: RawBlock, names: Sequence[str]) -> RawBlock:
        """Returns a block with the rows' values by these columns' names."""
        if self.format != "jsonl":
            return block
        return dataclasses.replace(
            block,
            rows=lambda positions: [flat(row, names) for row in block.rows(positions)],
            fallback_rows=[
                row if row.values is None else row._replace(values=flat(row.values, names))
                for row in block.fallback_rows
            ],
        )

    def place_of(self, row: RawRow) -> str:
        """Where a row is in the file, for messages."""
        return f"{unit_of(self.format)} {row.number}"

    def absent_words(self, absent: Sequence[str]) -> str:
        """Says that the first rows lack columns, with the columns of similar names; an empty text if there are none."""
        if not absent:
            return ""
        close = "".join(f"; {words}" for name in absent if (words := close_names(name, self.readable)))
        return (
            f"none of the first {self.num_first:,} rows has the columns {list(absent)}; in a row without them, their "
            f"values are missing{close} ({self.path})"
        )

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
    file_format, log = infer_format(path), config.sources.impressions
    text = log.text if file_format == log.format and not plain else PLAIN_TEXT
    of_log = {table.log_column for table in config.sources.tables.values()}
    of_log.update(name for feature in config.features_of(IMPRESSIONS) for name in column_of(feature).names)
    of_config = of_log | {name for feature in config.spec.features for name in column_of(feature).names}
    paths = [name for name in sorted(of_config) if is_path(name)]
    if file_format == "jsonl":
        return _from_objects(path, config.ingestion, paths, of_log)
    columns = read_header(path, file_format, text) or []
    paths = [name for name in paths if name not in columns]
    members = read_members(path, paths) if paths and file_format == "parquet" else []
    return InputRows(path, file_format, text, tuple(columns), tuple(members))


def _from_objects(path: str, limits: Ingestion, paths: Sequence[str], of_log: Container[str]) -> InputRows:
    """Looks at the first rows of a jsonl file.

    A null in place of an object counts as an object with all members of the log, but with none of a table's, which is
    looked up where no row has the member.
    """
    columns, members, problem, number = dict[str, None](), dict[str, None](), "no row", 0
    blocks = read_blocks(path, "jsonl", None, limits)
    for row in itertools.islice((row for block in blocks for row in block.all_rows()), MAX_FIRST):
        if row.values is None:
            problem = f"{unit_of('jsonl')} {row.number}: {row.detail}" if problem == "no row" else problem
            continue
        number += 1
        columns |= dict.fromkeys(row.values)
        members |= dict.fromkeys(name for name in paths if has_column(row.values, name, null_has_any=name in of_log))
    if not number:
        rule = f"one of the first {MAX_FIRST:,} rows of a jsonl file must be a JSON object"
        raise InputError(f"{rule}. Received: {problem} ({path})")
    of_objects = tuple(name for name in members if name not in columns)
    return InputRows(path, "jsonl", PLAIN_TEXT, tuple(columns), of_objects, number)


def infer_format(path: str) -> str:
    """The format of a file of raw rows, by its name's ending; raises InputError for another ending."""
    for ending, name in INPUT_FORMATS.items():
        if path.removesuffix(".gz").endswith(ending):
            return name
    raise InputError(f"the file's name must end in one of {sorted(INPUT_FORMATS)}. Received: {path}")
