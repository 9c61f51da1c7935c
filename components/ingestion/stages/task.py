"""What the stages of ingestion share: the task, the parts that they hand on, and how they reject and count rows.

`transforms` has the order of the stages. Each is a Beam DoFn on parts: rows of one log file, in an Arrow file. Stages
hand each other the paths of parts, places of rows (`scratch`), positions of rows in parts, and counts. A stage's output
depends on its input alone, and rows are ordered by their file's name and their place in the file. So the result depends
neither on Beam's runner nor on the number of its workers.
"""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam import pvalue
from apache_beam.io.filesystems import FileSystems

from components.examples.writing import write_compressed
from components.ingestion.columns.parser import to_lists
from components.ingestion.counts import CountKey
from components.ingestion.formats.raw_rows import Rejection, kept_text
from transform.config.component_settings import IngestionSettings

#: The tags of the side outputs.
REJECTED, COUNTED, EVIDENCE, LOCATIONS, TIMES, INSTALLS = (
    "rejected",
    "counted",
    "evidence",
    "places",
    "times",
    "installs",
)
OPEN = "open"
OUTCOMES = "outcomes"

#: The source of the labels.
INSTALL_LOG = "installs"

#: Among the lookups, the index of the events of served rankings.
EVENT_INDEX = "events"

#: The rows that are serialized at once.
ROWS_AT_ONCE = 1 << 14

Order = tuple[int, ...]


class Partition(NamedTuple):
    """Rows of one file of a source.

    Attributes:
      source: The source.
      order: The place of the rows among all rows of the source: the file's, and the part's in the file.
      split: The split of the file; empty if the log is split by ingestion.
      file: The source's file.
      path: The Arrow file with the rows. It has the typed values as the columns `c0`, `c1`, …, by their position, and
        what the stages add: `number`, the row's number in the file; `label`; the position of its row in each table, as
        `t0`, `t1`, …; `eval`, whether it is for evaluation.
    """

    source: str
    order: Order
    split: str
    file: str
    path: str


class Task(NamedTuple):
    """What all stages know.

    Attributes:
      config: The config.
      span: The span's number.
      folder: The scratch folder, which the caller removes.
      num_key_buckets: The number of buckets in which equal keys of different parts meet.
      num_shards: The number of files of each split.
    """

    config: IngestionSettings
    span: int
    folder: str
    num_key_buckets: int
    num_shards: int

    def path(self, stage: str, order: Sequence[int]) -> str:
        """Returns the path of an Arrow file of a stage."""
        path: str = FileSystems.join(self.folder, "-".join([stage, *map(str, order)]))
        return path

    def rejected(self, stage: str, order: Sequence[int], rejections: Iterable[Rejection]) -> Iterator[Any]:
        """Writes rejected rows one by one, and yields their place and their counts."""
        rows = iter(rejections)
        numbers: collections.Counter[tuple[str, str]] = collections.Counter()

        def line(row: Rejection) -> bytes:
            numbers[row.source, row.reason] += 1
            return f"{json.dumps(row._asdict(), ensure_ascii=True)}\n".encode()

        first = next(rows, None)
        if first is None:
            return
        path = f"{self.path(f'rejected-{stage}', order)}.gz"
        write_compressed(path, map(line, itertools.chain([first], rows)))
        yield pvalue.TaggedOutput(REJECTED, (stage, tuple(order), path))
        for reason, number in numbers.items():
            yield counted(("rejected", *reason), number)


def counted(key: CountKey, number: int | np.signedinteger[Any]) -> pvalue.TaggedOutput:
    """Returns the output of a count."""
    return pvalue.TaggedOutput(COUNTED, (key, int(number)))


def values_of(rows: pa.Table, num_columns: int) -> list[tuple[Any, ...]]:
    """Returns the typed values of rows, as `Parser.parse_row` returns them.

    Args:
      rows: Rows with the columns `c0`, `c1`, …
      num_columns: The number of the source's columns.
    """
    return list(zip(*to_lists(to_columns(rows, num_columns)), strict=True))


def to_columns(rows: pa.Table, num_columns: int) -> list[pa.Array]:
    """Returns the columns `c0`, `c1`, … of rows that one array has room for: of texts, 2 GiB."""
    return [rows[f"c{at}"].combine_chunks() for at in range(num_columns)]


def repeated_rows(
    rule: tuple[str, str, str, str],
    locations: Sequence[tuple[str, int, str, int]],
    values: Sequence[tuple[Any, ...]],
    position: int,
) -> list[Rejection]:
    """Returns the rejections of rows whose key an earlier row has.

    Args:
      rule: The source, the reason, the name of the key's column, and what rows are numbered by.
      locations: Of each row its file and number, and those of the first row with its key.
      values: The rows' values.
      position: The key's position among them.
    """
    source, reason, key_name, unit = rule
    return [
        Rejection(
            source,
            str(file),
            number,
            reason,
            f"`{key_name}` must be unique. Received {row[position]!r} again; first in {unit} {first_number} of {first}",
            kept_text(repr(row)),
        )
        for (file, number, first, first_number), row in zip(locations, values, strict=True)
    ]
