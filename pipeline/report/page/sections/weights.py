"""The section on the wide part: the strongest weights of each table, by name, and how often their keys occurred."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.report.page import numbers
from pipeline.report.page.parts import Block, Note, Section, Table
from pipeline.report.page.sources import RunSources
from trainer.explanations.wide_weights import row_names, strongest_rows
from trainer.transform_output.state import TransformState
from trainer.warm_start.array_files import read
from trainer.warm_start.files import SavedTable, read_files
from trainer.wide_deep.tables import RowKeys
from transform.stateful_vocabulary import MEMORY_FILE, Seen, read_vocabulary_state

#: Rows of each table, of each sign, and the number of tables.
_NUM_STRONGEST, _MAX_TABLES = 8, 12


def section(run: RunSources) -> Section:
    """Returns the section."""
    model = run.uri("trainer", "Model")
    folder = os.path.join(model, "warm_start") if model else None
    if folder is None or not os.path.isdir(folder):
        words = "There are no weights to show: no model was trained, or its files were removed."
        return Section("weights", "Strongest weights", [Note(words, "quiet")])
    return Section("weights", "Strongest weights of the wide part", list(_blocks(run, folder)))


def _blocks(run: RunSources, folder: str) -> Iterator[Block]:
    state = read_files(folder)
    wide = {name: table for name, table in state.tables.items() if name.startswith("wide/")}
    if not wide:
        yield Note("The model has no wide part.", "quiet")
        return
    yield Note(
        "A row's weight is added to the logit of every example to which the row applies: a weight w multiplies the "
        "odds by e^w. Counts are of the training examples with the row's key; those of earlier spans count less, "
        "the older they are."
    )
    memory = run.uri("transform", "VocabularyMemory")
    seen: Mapping[str, Mapping[bytes, Seen]] = {}
    if memory is not None and os.path.exists(os.path.join(memory, MEMORY_FILE)):
        seen = read_vocabulary_state(memory).vocabularies
    else:
        yield Note("The vocabularies' counts were removed, so no count is shown.", "quiet")
    crosses_first = sorted(wide.items(), key=lambda item: (len(item[1].keys.features) < 2, item[0]))
    for name, table in crosses_first[:_MAX_TABLES]:
        yield _strongest(name, table, state.transform_state, seen)
    if len(crosses_first) > _MAX_TABLES:
        left = len(crosses_first) - _MAX_TABLES
        yield Note(f"{left} more tables are in wide_weights.md, beside the model.", "quiet")


def _strongest(
    name: str, table: SavedTable, state: TransformState, seen: Mapping[str, Mapping[bytes, Seen]]
) -> Table | Note:
    weights, keys = read(table.variable.values).reshape(-1), table.keys
    title = " × ".join(keys.features) or name.removeprefix("wide/")
    highest, lowest = strongest_rows(keys, weights, state, _NUM_STRONGEST)
    rows = highest + lowest[::-1]
    if not rows:
        return Note(f"{title}: all {numbers.count(weights.size)} weights are zero.", "quiet")
    cells = [
        (
            " × ".join(filter(None, row_names(keys, row, state))),
            numbers.signed(float(weights[row])),
            f"{np.exp(weights[row]):.3g}",
            _count(keys, row, state, seen),
        )
        for row in rows
    ]
    non_zero = numbers.count(int(np.count_nonzero(weights)))
    caption = f"{title}: {non_zero} of {numbers.count(weights.size)} weights are not zero"
    return Table(caption, (title, "#weight", "#odds ×", "#count"), cells, is_half=True)


def _count(keys: RowKeys, row: int, state: TransformState, seen: Mapping[str, Mapping[bytes, Seen]]) -> str:
    """Returns how often a row's key occurred; a dash for a row that is no single key, or one that has no count."""
    if keys.kind != "vocabulary":
        return "–"
    tokens, counts = state.vocabularies[keys.vocabulary or ""], seen.get(keys.vocabulary or "", {})
    if row >= len(tokens) or tokens[row] not in counts:
        return "–"
    return numbers.count(counts[tokens[row]].count)
