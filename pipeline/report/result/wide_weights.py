"""The strongest weights of each table of a model's wide part, by name, and how often their keys occurred."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # these take seconds to import, which those that only use the classes should not
    from trainer.transform_output.state import TransformState
    from trainer.warm_start.files import SavedTable
    from trainer.wide_deep.tables import RowKeys
    from transform.stateful_vocabulary import Seen

#: Rows of each table, of each sign, and the number of tables.
_NUM_STRONGEST, _MAX_TABLES = 8, 12


@dataclasses.dataclass(frozen=True)
class WeightRow:
    """A row of a table: the names of its key, its weight, and how often the key occurred; None if it has no count."""

    names: Sequence[str]
    weight: float
    count: float | None


@dataclasses.dataclass(frozen=True)
class WeightTable:
    """A table of the wide part.

    Attributes:
      title: Its features.
      num_weights: Number of its weights.
      num_non_zero: Number of those that are not zero.
      strongest: The rows with the highest weights, then those with the lowest.
    """

    title: str
    num_weights: int
    num_non_zero: int
    strongest: Sequence[WeightRow]


@dataclasses.dataclass(frozen=True)
class WideWeights:
    """The wide part.

    Attributes:
      tables: The first tables, crosses first.
      num_more: Number of further tables.
      has_counts: Whether the vocabularies' counts exist.
    """

    tables: Sequence[WeightTable]
    num_more: int
    has_counts: bool


def read_wide_weights(model: str, memory: str | None) -> WideWeights | None:
    """Reads the wide part of a model; None if its files were removed.

    Args:
      model: The model's folder.
      memory: The folder with the vocabularies' counts; None if there is none.
    """
    from trainer.warm_start.files import read_files
    from transform.stateful_vocabulary import MEMORY_FILE, read_vocabulary_state

    folder = os.path.join(model, "warm_start")
    if not os.path.isdir(folder):
        return None
    state = read_files(folder)
    wide = {name: table for name, table in state.tables.items() if name.startswith("wide/")}
    has_counts = memory is not None and os.path.exists(os.path.join(memory, MEMORY_FILE))
    seen = read_vocabulary_state(memory).vocabularies if wide and memory is not None and has_counts else {}
    crosses_first = sorted(wide.items(), key=lambda item: (len(item[1].keys.features) < 2, item[0]))
    shown = [_table(name, table, state.transform_state, seen) for name, table in crosses_first[:_MAX_TABLES]]
    return WideWeights(shown, len(crosses_first) - len(shown), has_counts)


def _table(
    name: str, table: SavedTable, state: TransformState, seen: Mapping[str, Mapping[bytes, Seen]]
) -> WeightTable:
    from trainer.explanations.wide_weights import row_names, strongest_rows
    from trainer.warm_start.array_files import read

    weights, keys = read(table.variable.values).reshape(-1), table.keys
    highest, lowest = strongest_rows(keys, weights, state, _NUM_STRONGEST)
    rows = [
        WeightRow(list(filter(None, row_names(keys, row, state))), float(weights[row]), _count(keys, row, state, seen))
        for row in highest + lowest[::-1]
    ]
    title = " × ".join(keys.features) or name.removeprefix("wide/")
    return WeightTable(title, weights.size, int(np.count_nonzero(weights)), rows)


def _count(keys: RowKeys, row: int, state: TransformState, seen: Mapping[str, Mapping[bytes, Seen]]) -> float | None:
    """Returns how often a row's key occurred; None for a row that is no single key, or one that has no count."""
    if keys.kind != "vocabulary":
        return None
    tokens, counts = state.vocabularies[keys.vocabulary or ""], seen.get(keys.vocabulary or "", {})
    return counts[tokens[row]].count if row < len(tokens) and tokens[row] in counts else None
