"""The section on features: by how much the AUC falls without each, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.quality_gate.inputs import AucFalls
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run

#: Maximum number of features in the chart: those with the largest falls.
_MAX_POINTS = 24


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    measured = run.report.auc_falls
    if measured is None:
        words = "No importance was measured: no model was evaluated, or its evaluation rows have one label."
        yield Note(run.absent(words), "quiet")
        return
    yield Note(
        f"The AUC of {numbers.count(measured.num_rows)} evaluation rows, with equal numbers of both labels where there "
        f"are enough, is {numbers.metric(measured.auc)}. A feature's importance is by how much it falls if the "
        "feature's raw values are permuted among the rows; crosses, counts and embeddings of the feature follow. Of "
        "two features that say the same, each may seem to be of no use."
    )
    if unused := unproved(measured):
        yield Note(f"No use is shown of {', '.join(unused)}: the interval reaches zero.", "quiet")
    yield _figure(measured)


def unproved(measured: AucFalls) -> list[str]:
    """Returns the features without a fall of the AUC beyond chance, by the 95 % interval."""
    return [name for name, fall in measured.estimates() if not fall.low > 0 and not math.isnan(fall.standard_error)]


def _figure(measured: AucFalls) -> Figure:
    found = measured.estimates()
    rows = [(name, numbers.signed(fall.value), numbers.between(fall.low, fall.high)) for name, fall in found]
    columns = ("feature", "#fall of auc", "#95 % interval")
    data = Table.bounded("Fall of the AUC without each feature, the largest first", columns, rows)
    values = [
        {"y": name, "x": fall.value, "a": low, "b": high, "s": "fall of auc"}
        for name, fall in found[:_MAX_POINTS]
        for low, high in [(fall.value,) * 2 if math.isnan(fall.standard_error) else (fall.low, fall.high)]
    ]
    name, fall = found[0]
    words = f"By how much the AUC falls without a feature, with its 95 % interval. Most without {name}: by "
    words += f"{numbers.metric(fall.value)}."
    spec = charts.intervals(values, "fall of auc", zero=True)
    return Figure("Fall of the AUC without each feature", words, spec, data, is_wide=True)
