"""Finds for `wdr check` the columns that no row of a jsonl source has. A file of this format has no list of columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.ingestion.formats.files import close_names
from components.ingestion.formats.nested import has_column, names_in
from components.ingestion.formats.readers import read_blocks
from components.ingestion.spans import SpanFiles
from transform.config.config import Config
from transform.errors import InputError

#: The rows whose columns a name is compared with, and the most columns of them.
_NAMED_ROWS, _MAX_NAMES = 1000, 10_000


def columns_of_no_row(config: Config, found: SpanFiles, max_rows: int) -> list[str]:
    """Looks for the columns of each jsonl source in its first rows.

    Args:
      config: The config.
      found: The span's files.
      max_rows: Maximum number of rows to read of each source.

    Returns:
      One sentence for each column that none of the rows has, with the columns whose names are close to its name.

    Raises:
      InputError: If a row without the column would be rejected, or a file cannot be read.
    """
    sentences = []
    for source, by_split in found.files.items():
        if config.sources.of(source).format != "jsonl":
            continue
        paths = [path for paths in by_split.values() for path in paths]
        required = {name for column in config.columns[source] if column.required for name in column.names}
        left = dict.fromkeys(name for column in config.columns[source] for name in column.names)
        num_rows = 0
        for row in itertools.islice(_rows(config, paths), max_rows):
            num_rows += 1
            for name in [name for name in left if has_column(row, name)]:
                del left[name]
            if not left:
                break
        if not left or not num_rows:  # `check_rows` says that there is no row
            continue
        names = _names(itertools.islice(_rows(config, paths), min(max_rows, _NAMED_ROWS)))
        for name in left:
            close = close_names(name, names)
            sentence = f"none of the first {num_rows:,} rows of `{source}` has the column `{name}`"
            sentence += f"; {close}" if close else ""
            if name in required:
                raise InputError(f"{sentence} ({paths[0]})")
            sentences.append(sentence)
    return sentences


def _rows(config: Config, paths: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        for block in read_blocks(path, "jsonl", None, config.ingestion):
            yield from (row.values for row in block.all_rows() if row.values is not None)


def _names(rows: Iterator[Mapping[str, Any]]) -> list[str]:
    names = (name for row in rows for name in names_in(row))
    return list(dict.fromkeys(itertools.islice(names, 100 * _MAX_NAMES)))[:_MAX_NAMES]
