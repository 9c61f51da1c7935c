"""The section on the gates' verdicts: each finding with its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.gate_records import Finding
from pipeline.report.alike import united
from pipeline.report.page import numbers
from pipeline.report.page.parts import Block, Note, Table
from pipeline.report.result.run import Run

WORDS = {"stop": "stops the run", "refuse": "refuses the model", "warn": "warns", "cannot_judge": "cannot judge"}


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    report = run.report
    if report.status == "skipped":
        yield Note(f"{report.skipped_by} stopped the run: {report.reason}", "bad")
    record = run.contents.data_record.get()
    data = report.data_findings or (record.findings if record else ())
    yield from _findings("The gate on data", data, was_judged=record is not None or bool(data))
    verdict = report.infra
    if verdict is None:
        yield Note(run.absent("Infra validation did not run."), "quiet")
    elif verdict.problems:
        yield from (Note(f"Infra validation refuses the model: {problem}", "bad") for problem in verdict.problems)
    else:
        yield Note("Infra validation let the model through.", "good")
    if report.status == "failed":
        yield Note(run.absent("The gate on quality did not judge the run."), "quiet")
    else:
        yield from _findings("The gate on quality", report.findings, was_judged=bool(report.metrics))
    yield from (Note(f"Accepted: {sentence}", "warn") for sentence in report.accepted)
    if report.forced:
        yield Note(f"The push was forced: {report.forced}; refused: {'; '.join(report.refusals)}", "warn")


def _findings(gate: str, findings: Sequence[Finding], *, was_judged: bool) -> Iterator[Block]:
    if not was_judged:
        yield Note(f"{gate} did not judge the run.", "quiet")
        return
    if not findings:
        yield Note(f"{gate} found nothing.", "good")
        return
    rows = [
        (WORDS[f.severity], f.subject, f.sentence, _number(f.value), _number(f.bound),
         "–" if f.rows is None else numbers.count(f.rows), f.rule)
        for f in united(findings)
    ]  # fmt: skip
    columns = ("verdict", "subject", "sentence", "#value", "#bound", "#rows", "rule")
    yield Table.bounded(f"{gate}: findings, the most severe first", columns, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else numbers.short(value)
