"""The end of a run at the terminal: the verdict, the numbers that decide, where the rest is, and every warning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape

from pipeline.report import references
from pipeline.report.alike import by_rule
from pipeline.report.assessment import calibration, evaluated_on, interval_words, latency_words
from pipeline.report.console.quality_table import against
from pipeline.report.console.summary import two_columns
from pipeline.report.run_report import NOT_SENT, RunResult
from trainer.warm_start.report import NO_FILES

#: The metrics shown; the latency and the skew follow.
_METRICS = ("auc", "logloss", "calibration")

#: Findings that are warnings; one that stops or refuses is a reason of the verdict.
_WARNINGS = ("warn", "cannot_judge")


def headline(run_result: RunResult, serving: int | None, seconds: float, report: Path, trying: str) -> RenderableType:
    """Returns the run's result as a table of two columns.

    Args:
      run_result: The result.
      serving: The version that serves now; None if none does.
      seconds: The run's time.
      report: The run's report, as JSON; it is shown in place of a page that is missing or incomplete.
      trying: The command that tries the suggested settings.
    """
    page, problem = _page(run_result, report)
    warned = [*warnings(run_result), *((problem,) if problem else ())]
    return two_columns((
        *_verdict(run_result, trying),
        ("serves", _serves(run_result, serving)),
        ("reason", escape(_reason(run_result))),
        *_numbers(run_result),
        ("time", f"{seconds:.0f} s"),
        ("report", escape(page)),
        *([("", "")] if warned else []),
        *(("warning", f"[yellow]{escape(sentence)}[/yellow]") for sentence in warned),
    ))  # fmt: skip


def _page(run_result: RunResult, report: Path) -> tuple[str, str]:
    """Returns where to read the run's report, and a sentence if its page is missing or incomplete, else nothing."""
    page, words = str(report.with_suffix(".html")), run_result.places.get("report")
    if words == page:
        return page, ""
    return str(report), f"the run's page: {words}" if words else ""


def _verdict(run_result: RunResult, trying: str) -> Iterator[tuple[str, str]]:
    """Yields the reference model that is as good, with what to try, and whether the model is pushed."""
    if not_better := references.verdict_sentence(run_result):
        yield "verdict", f"[yellow]{escape(not_better)}[/yellow]"
        if run_result.suggestions:
            yield "", escape(references.suggested(run_result, trying))
    what = "" if not_better else "verdict"
    if run_result.version is None:
        yield what, "[red]refused[/red]: nothing is pushed"
    else:
        how = ", although it was refused" if run_result.forced else ""
        yield what, f"[green]pushed[/green] as version {run_result.version}{how}"


def _serves(run_result: RunResult, serving: int | None) -> str:
    if serving is None:
        return "no version"
    if serving == run_result.version:
        return f"version {serving}, this run's"
    return f"version {serving}, as before" if run_result.version is None else f"version {serving}"


def _reason(run_result: RunResult) -> str:
    """Says why the model was pushed, or why not; with what it was compared."""
    compared = f"; held against: {run_result.held_against}" if run_result.held_against else ""
    if run_result.forced:
        return f"forced: {run_result.forced}; refused: {'; '.join(run_result.refusals)}{compared}"
    return f"{'; '.join(run_result.refusals) or 'all gates passed'}{compared}"


def _numbers(run_result: RunResult) -> Iterator[tuple[str, str]]:
    """Yields the numbers that decide: three metrics, the latency and the skew, as far as they were measured."""
    if on := evaluated_on(run_result):
        yield "metrics", on
    for name in _METRICS:
        if name in run_result.metrics:
            interval = interval_words(run_result, name)
            yield name, f"{run_result.metrics[name]:.4f}, {interval}  ({against(run_result, name)})"
    if (judged := calibration(run_result)) is not None and judged.tone == "warn":
        yield "", f"[yellow]{judged.text}[/yellow]"
    verdict = run_result.infra
    if verdict.candidate is not None and verdict.candidate.latency:
        serving = verdict.baseline.best_latency if verdict.baseline and verdict.baseline.latency else None
        before = f" (baseline {serving.p95_ms:.1f} ms)" if serving else ""
        yield "latency", f"{latency_words(verdict.candidate)}{before}"
    skews = [skew for skew in (verdict.row_skew, verdict.rank_skew, verdict.eval_skew) if skew is not None]
    if skews:
        worst = max(skew.largest_difference for skew in skews)
        rows = sum(skew.num_rows for skew in skews)
        yield "skew", f"scores differ from the trainer's by at most {worst:.1e} on {rows:,} rows"


def warnings(run_result: RunResult) -> Iterator[str]:
    """Yields a sentence for each warning of the run, or for all of a rule.

    What stays the same is said with the first model only.
    """
    yield from run_result.counts.warnings
    if run_result.never_trained_words and not run_result.training.warm_started_from:  # once, with the first model
        yield run_result.never_trained_words
    yield from by_rule(f for f in run_result.data_findings if f.severity in _WARNINGS)
    if run_result.missing_spans:
        yield run_result.missing_spans_words
    yield from run_result.accepted
    yield from by_rule(f for f in run_result.findings if f.severity in _WARNINGS)
    for reason in run_result.training.warm_start.not_carried:
        if reason.startswith(NO_FILES):
            yield f"the training started cold: {reason}"
    yield from references.warnings(run_result)
    if run_result.infra.baseline_problem:
        yield f"the baseline's cost is not measured: {run_result.infra.baseline_problem}"
    for sentence in run_result.infra.tries:
        yield f"the dry run was tried again: {sentence}"
    if run_result.infra.may_change:
        yield "the cache does not keep this refusal: the same command, on a quieter machine, runs the dry run again"
    for tracker, words in run_result.places.items():
        if words.startswith(NOT_SENT):
            yield f"{tracker} did not get the run: {words.removeprefix(NOT_SENT)}"
    if run_result.push_note:
        yield f"version {run_result.version}: {run_result.push_note}"
