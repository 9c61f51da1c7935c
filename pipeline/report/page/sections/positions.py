"""The position's curve: what the impressions that were placed by chance say, beside what the model has learned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from components.data_validation.positions import OF_95_PERCENT, PositionCounts, PositionEvidence
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Facts, Figure, Note, Table
from pipeline.report.result.run import Run
from transform.positions import LearnedPositions

_BY_CHANCE, _LEARNED = "placed by chance", "model"


def blocks(run: Run) -> Iterator[Block]:
    """Yields what is known of the position; nothing for a model without a feature with `at_serving`."""
    learned = None if run.report.training is None else run.report.training.position
    if learned is None:
        return
    if learned.num_weighted:
        yield _weights(learned)
    evidence = run.contents.evidence.get()
    found = None if evidence is None else evidence.position
    if found is None:
        return
    base = next((p for p in found.positions if p.name == learned.fixed), found.positions[0])
    if not base.by_chance:
        yield Note(
            f"No impression at position {base.name}, with which the others are compared, was placed by chance: the log "
            "does not tell the position's curve.",
            "warn",
        )
        return
    yield _curve(found, base, dict(zip(learned.values, learned.logits, strict=True)))


def _weights(learned: LearnedPositions) -> Facts:
    share = learned.effective_size / learned.num_weighted
    return Facts(
        [
            ("weighted examples", numbers.count(learned.num_weighted)),
            ("effective sample size", f"{numbers.count(learned.effective_size)}, {numbers.percent(share)} of them"),
            ("clipped weights", numbers.count(learned.num_clipped)),
        ]
    )


def contrast(position: PositionCounts, base: PositionCounts) -> tuple[float, float]:
    """Returns the log-odds of label 1 at a position minus those at another, by chance, and their standard error."""
    if position.name == base.name:
        return 0.0, 0.0
    return position.log_odds - base.log_odds, math.hypot(position.error, base.error)


def _curve(found: PositionEvidence, base: PositionCounts, learned: Mapping[str, float]) -> Figure:
    data, rows = [], []
    for position in found.positions:
        told = f"{numbers.count(position.by_chance)} of {numbers.count(position.rows)}"
        between = "–"
        if position.by_chance:
            value, error = contrast(position, base)
            low, high = value - OF_95_PERCENT * error, value + OF_95_PERCENT * error
            data.append({"y": position.name, "x": value, "a": low, "b": high, "s": _BY_CHANCE})
            between = f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
        own = learned.get(position.name)
        if own is not None:
            data.append({"y": position.name, "x": own, "a": own, "b": own, "s": _LEARNED})
        rows.append((position.name, told, between, "–" if own is None else f"{own:+.2f}"))
    columns = ("position", "#placed by chance", "#log-odds by chance, 95 %", "#model")
    table = Table.bounded(f"What each position adds to the logit, against position {base.name}", columns, rows)
    words = (
        f"What a position adds to the logit of label 1, against position {base.name}: among the impressions that were "
        "placed by chance, with 95 % intervals, and in the model. "
        f"{numbers.percent(found.share_by_chance)} of the impressions were placed by chance."
    )
    if not learned:
        words += " The model has no curve: it does not read the position."
    return Figure("Position", words, charts.intervals(data, "logit", zero=True), table)
