"""The section on the wide part: the strongest weights of each table, by name, and how often their keys occurred."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.report.page import numbers
from pipeline.report.page.parts import Block, Note, Table
from pipeline.report.result.run import Run
from pipeline.report.result.wide_weights import WeightTable


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    weights = run.contents.wide_weights.get()
    if weights is None:
        yield Note("There are no weights to show: no model was trained, or its files were removed.", "quiet")
        return
    if not weights.tables:
        yield Note("The model has no wide part.", "quiet")
        return
    yield Note(
        "A row's weight is added to the logit of every example to which the row applies: a weight w multiplies the "
        "odds by e^w. Counts are of the training examples with the row's key; those of earlier spans count less, "
        "the older they are."
    )
    if not weights.has_counts:
        yield Note("The vocabularies' counts were removed, so no count is shown.", "quiet")
    yield from map(_strongest, weights.tables)
    if weights.num_more:
        yield Note(f"{weights.num_more} more tables are in wide_weights.md, beside the model.", "quiet")


def _strongest(table: WeightTable) -> Table | Note:
    if not table.strongest:
        return Note(f"{table.title}: all {numbers.count(table.num_weights)} weights are zero.", "quiet")
    cells = [
        (
            " × ".join(row.names),
            numbers.signed(row.weight),
            f"{np.exp(np.float32(row.weight)):.3g}",
            "–" if row.count is None else numbers.count(row.count),
        )
        for row in table.strongest
    ]
    non_zero = numbers.count(table.num_non_zero)
    caption = f"{table.title}: {non_zero} of {numbers.count(table.num_weights)} weights are not zero"
    return Table(caption, (table.title, "#weight", "#odds ×", "#count"), cells, is_half=True)
