"""The section on vocabularies: their sizes, and what a warm start has carried over."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run
from trainer.training.report import TrainingReport

_SERIES = ("kept", "new", "dropped")

#: Maximum number of tables in the chart.
_MAX_BARS = 20


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    training = run.report.training
    if training is None:
        yield Note(run.absent("No model was trained in this run, so no vocabulary was built into one."), "quiet")
        return
    start = training.warm_start
    if training.warm_started_from is None:
        yield Note(f"The training started cold: {'; '.join(start.not_carried) or 'no reason is recorded'}.")
    else:
        yield Note(f"The training started from the weights of {training.warm_started_from}.")
        for sentence in start.not_carried[:20]:
            yield Note(f"Not carried over: {sentence}.", "warn")
    if start.tables:
        yield from _churn(training)
    sizes = [(name, numbers.count(size)) for name, size in sorted(training.vocabulary_sizes.items())]
    if sizes:
        yield Table.bounded("Vocabularies", ("vocabulary", "#tokens"), sizes, is_half=True)


def _churn(training: TrainingReport) -> Iterator[Block]:
    tables = sorted(training.warm_start.tables.items(), key=lambda item: -(item[1].new + item[1].dropped))
    rows = [
        (name, *map(numbers.count, (t.kept, t.new, t.dropped)), numbers.share(t.new, t.kept + t.new),
         numbers.short(t.carried_norm))
        for name, t in tables
    ]  # fmt: skip
    columns = ("rows of", "#kept", "#new", "#dropped", "#new share", "#norm of kept")
    data = Table.bounded("Rows of the weight tables, against the previous model's", columns, rows)
    values = [
        {"y": name, "x": getattr(t, field) / max(t.kept + t.new + t.dropped, 1), "s": field}
        for name, t in tables[:_MAX_BARS]
        for field in _SERIES
    ]
    name, most = tables[0]
    words = (
        f"Shares of rows that are kept, new or dropped, for each weight table. The most change is in {name}: "
        f"{numbers.count(most.kept)} kept, {numbers.count(most.new)} new, {numbers.count(most.dropped)} dropped."
    )
    spec = charts.bars(values, "share of rows", series=_SERIES, share=True)
    yield Figure("Churn", words, spec, data, is_wide=True)
