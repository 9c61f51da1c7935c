"""The section on what the model costs: latency, memory, and how exported scores differ from the trainer's."""

from __future__ import annotations

from collections.abc import Iterator

from components.infra_validation.verdict import Measurements, Verdict
from pipeline.report.assessment import latency_words
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run
from pipeline.report.result.scores import BASELINE, CANDIDATE


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    verdict = run.report.infra
    if verdict is None:
        yield Note(run.absent("The model was not run: the run ended before infra validation."), "quiet")
        return
    for problem in verdict.problems:
        yield Note(problem, "bad")
    for sentence in verdict.tries:
        yield Note(f"The dry run was tried again: {sentence}", "warn")
    measured = {name: m for name, m in ((CANDIDATE, verdict.candidate), (BASELINE, verdict.baseline)) if m}
    if verdict.baseline_problem:
        yield Note(f"The baseline was not measured: {verdict.baseline_problem}", "warn")
    elif verdict.baseline is None:
        yield Note("There is no baseline to compare the costs with.", "quiet")
    if measured:
        yield from _latency(measured)
        yield _resources(measured)
        if verdict.machine:
            yield Note(f"Meanwhile, {verdict.machine}.", "quiet")
    else:
        yield Note("The model's costs were not measured.", "quiet")
    yield _skew(verdict)


def _latency(measured: dict[str, Measurements]) -> Iterator[Block]:
    rows = [
        (name, cost.signature, str(row.batch_size), str(row.threads),
         f"{row.p95_ms:.1f}")
        for name, cost in measured.items()
        for row in cost.latency
    ]  # fmt: skip
    columns = ("model", "signature", "#batch size", "#threads", "#p95 ms")
    data = Table.bounded("Time to score 200 candidate items of one request", columns, rows)
    values = [
        {"y": f"{row.batch_size} × {row.threads}", "x": row.p95_ms, "s": name}
        for name, cost in measured.items()
        for row in cost.latency
    ]
    best = "; ".join(f"{name} {latency_words(cost)}" for name, cost in measured.items())
    words = f"The 95th percentile of the time for 200 candidates, by batch size × threads. With the fastest: {best}."
    spec = charts.bars(values, "p95, milliseconds", series=list(measured), stack=False)
    yield Figure("Latency", words, spec, data, is_wide=True)


def _resources(measured: dict[str, Measurements]) -> Table:
    rows = [
        (
            name,
            f"{cost.load_seconds:.1f}",
            *(f"{mb:,.1f}" for mb in (cost.memory_mb, cost.peak_memory_mb, cost.size_mb)),
        )
        for name, cost in measured.items()
    ]
    columns = ("model", "#load s", "#memory MB", "#peak MB with TensorFlow", "#files MB")
    return Table("Costs", columns, rows)


def _skew(verdict: Verdict) -> Block:
    named = {
        "logged and changed rows": verdict.row_skew,
        "ranked rows": verdict.rank_skew,
        "evaluation examples": verdict.eval_skew,
        **{f"signature {name}": skew for name, skew in verdict.catalog_skew.items()},
    }
    rows = [
        (
            name,
            numbers.count(skew.num_rows),
            f"{skew.largest_difference:.1e}" if skew.largest_difference else "0",
            numbers.count(skew.num_different),
        )
        for name, skew in named.items()
        if skew is not None
    ]
    if not rows:
        return Note("The exported model's scores were not compared with the trainer's.", "quiet")
    return Table.bounded(
        "Scores of the exported model against the trainer's",
        ("compared", "#scores", "#largest difference", "#beyond tolerance"), rows,
    )  # fmt: skip
