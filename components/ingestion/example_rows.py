"""Serializes impressions and tables' rows as tf.Examples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from components.examples import encoding
from components.ingestion.layout import Entry, Layout
from transform.config.columns import ColumnKind
from transform.config.component_settings import IngestionSettings
from transform.example_keys import FOLD, LABEL, LATE_LABEL, SHARES_LABEL, SPAN
from transform.feature import IMPRESSIONS


class ExampleEncoder:
    """Serializes the impressions of a span.

    A table's features whose names follow each other in an example are serialized once for each of the table's rows, as
    one piece, and copied to the impressions with its key.

    Args:
      config: The config.
      span: The span's number.
      late: Whether the labels were completed by the next span: the examples then have `LATE_LABEL`, as their last
        entry, since its name may stand between those of one piece.
    """

    def __init__(self, config: IngestionSettings, span: int, *, late: bool = False):
        self._late = late
        self._layout, self._tables, self._span = Layout(config), config.sources.tables, span
        self._groups = [
            (source if source in self._tables else "", list(group))
            for source, group in itertools.groupby(self._layout.entries(), key=lambda entry: entry.source)
        ]

    @property
    def log_positions(self) -> list[int]:
        """The positions, in an impression's row, of what its example has."""
        entries = [entry for _, group in self._groups for entry in group if entry.source == IMPRESSIONS]
        return sorted({entry.position for entry in entries})

    def table_pieces(self, table: str, values: Sequence[pa.Array]) -> list[pa.Array]:
        """Returns the pieces of a table's rows, large_binary, in the order in which an example has them."""
        groups = [group for source, group in self._groups if source == table]
        return [encoding.joined([_encode(entry, values[entry.position]) for entry in group]) for group in groups]

    def table_examples(self, table: str, values: Sequence[pa.Array]) -> pa.Array:
        """Returns the examples of a table's snapshot: its features, and its key under `table_key`."""
        entries = self._layout.table_entries(table, self._tables[table].key)
        return encoding.examples([_encode(entry, values[entry.position]) for entry in entries])

    def examples(
        self, rows: pa.Table, found: Mapping[str, pa.Array], pieces: Mapping[str, Sequence[pa.Array]]
    ) -> pa.Array:
        """Returns the examples of impressions, large_binary.

        Args:
          rows: The impressions: their values in the columns `c0`, `c1`, …; `label`, `fold` and `shares_label`.
          found: By table, the position of each impression's row in it; null if it has none.
          pieces: By table, what `table_pieces` returned.
        """
        left = {table: iter(of_table) for table, of_table in pieces.items()}
        computed = {name: np.asarray(rows[name].combine_chunks(), np.int64) for name in (LABEL, FOLD, SHARES_LABEL)}
        computed[SPAN] = np.full(len(rows), self._span)
        entries: list[pa.Array] = []
        for table, group in self._groups:
            if table:
                entries.append(next(left[table]).take(found[table]))
                continue
            for entry in group:
                if entry.kind == "int":
                    entries.append(encoding.int_entries(entry.name, computed[entry.name]))
                else:
                    entries.append(_encode(entry, rows[f"c{entry.position}"].combine_chunks()))
        if self._late:
            entries.append(encoding.int_entries(LATE_LABEL, np.ones(len(rows), np.int64)))
        return encoding.examples(entries)


def _whole_seconds(name: str, times: pa.Array) -> pa.Array:
    return encoding.int_entries(name, np.asarray(times).astype(np.int64))


#: Encodes the typed values of a column as a feature; null where the value is null.
ENTRIES: dict[ColumnKind | Literal["int"], Callable[[str, pa.Array], pa.Array]] = {
    "string": encoding.text_entries,
    "list": encoding.list_entries,
    "one_hot": encoding.list_entries,
    "float": encoding.float_entries,
    "weight": encoding.float_entries,
    "propensity": encoding.float_entries,
    "randomized": lambda name, flags: encoding.float_entries(name, flags.cast(pa.float64())),
    "timestamp": _whole_seconds,
}


def _encode(entry: Entry, values: pa.Array) -> pa.Array:
    return ENTRIES[entry.kind](entry.name, values)
