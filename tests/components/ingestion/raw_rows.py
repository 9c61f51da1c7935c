"""Rows of a file as the readers of blocks return them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingestion.formats.blocks import FastColumn, RawBlock
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import PLAIN_TEXT, read_blocks
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText


def read_rows(
    path: str,
    file_format: str,
    columns: Sequence[str],
    limits: Ingestion,
    tally: LineTally | None = None,
    text: DelimitedText = PLAIN_TEXT,
) -> Iterator[RawRow]:
    for block in read_blocks(path, file_format, columns, limits, tally, text):
        yield from block.all_rows()


def block_of_row(row: dict[str, Any]) -> RawBlock:
    """A block of one row, whose values are parsed one by one."""
    none = FastColumn(pa.nulls(0), np.zeros(0, bool))
    return RawBlock(np.zeros(0, np.int64), lambda column: none, lambda positions: [], [RawRow(1, row)])
