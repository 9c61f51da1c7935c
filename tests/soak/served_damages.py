"""Damages of a served day's export, each as a mistake of a store's own code would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def shift_positions(folder: Path) -> None:
    """Each item was shown one place further down than the events say: positions counted from 0, or with a banner."""
    for path in folder.glob("*/events-*.parquet"):
        _rewrite(path, "position", lambda values: pc.add(values, 1))


def scores_of_the_first_version(folder: Path) -> None:
    """The record names another version than the one whose scores it has."""
    for path in folder.glob("*/impressions-*.parquet"):
        _rewrite(path, "version", lambda values: pa.array([1] * len(values), values.type))


def double_events(folder: Path) -> None:
    """Each event is sent twice, as by a client that repeats what was answered."""
    for path in folder.glob("*/events-*.parquet"):
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, table]), path)


#: By name, the damage, and the words that must name its cause.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "positions shifted": (shift_positions, "position"),
    "scores of another version": (scores_of_the_first_version, "score"),
    "events doubled": (double_events, "doubled"),
}


def _rewrite(path: Path, name: str, change: Callable[[pa.ChunkedArray], pa.Array]) -> None:
    table = pq.read_table(path)
    at = table.schema.get_field_index(name)
    changed = change(table[name]).cast(table.schema.field(at).type)
    pq.write_table(table.set_column(at, name, changed), path)
