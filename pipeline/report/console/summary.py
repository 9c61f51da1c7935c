"""The summary table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from components.ingestion.counts import Counts
from components.late_labels.counts import LateCounts
from pipeline.registry.progressive import against_baseline
from pipeline.report.console.cost_table import infra_rows
from pipeline.report.console.quality_table import quality_rows
from pipeline.report.run_report import RunResult
from trainer.training.report import TrainingReport
from trainer.warm_start.report import TableReport
from transform.feature import IMPRESSIONS
from transform.ranking import absence_words

#: What, and how much or where.
Row: TypeAlias = tuple[str, RenderableType]


def summary(run_result: RunResult) -> RenderableType:
    """Returns the run's result as a table of two columns: what, and how much or where."""
    return two_columns((
        *_ingestion_rows(run_result),
        *_late_rows(run_result),
        *_data_rows(run_result),
        *_start_rows(run_result.training),
        *_training_rows(run_result),
        *_progress_rows(run_result),
        *quality_rows(run_result),
        *infra_rows(run_result.infra),
        *_push_rows(run_result),
        *((what, escape(where)) for what, where in run_result.places.items()),
    ))  # fmt: skip


def two_columns(rows: Iterable[Row]) -> Table:
    """Returns a table of rows: what, and how much or where."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, content in rows:
        table.add_row(what, content)
    return table


def _ingestion_rows(run_result: RunResult) -> Iterator[Row]:
    counts = run_result.counts
    yield "span", f"{counts.span}"
    yield "rows", _rows(run_result)
    for source in sorted(set(counts.read) - {IMPRESSIONS}):
        yield f"  {source}", _table_rows(run_result, source)
    yield "examples", ", ".join(f"{number:,} {split}" for split, number in sorted(counts.num_examples.items()))
    if counts.unknown_labels:
        words = ", and no run trains on them" if run_result.never_trained_words else ""
        yield (
            "  left out",
            f"{counts.unknown_labels:,} impressions, the last ones, whose labels are not known yet{words}",
        )


def _late_rows(run_result: RunResult) -> Iterator[Row]:
    late = run_result.late
    if late is None:
        return
    yield "late labels", _late(late)
    trained = ", ".join(str(span) for span in run_result.late_spans)
    yield "  trained on", f"those of span {trained}" if trained else "none"
    if late.lost:
        yield (
            "  lost",
            f"[yellow]{late.lost:,} impressions of span {late.span}: the files that had them are gone[/yellow]",
        )
    if late.completed and late.span not in run_result.late_spans:
        words = "its rows are unfit, or a gate on data stopped the run on them"
        yield "  left out", f"[yellow]span {late.span} is not learned from: {words}[/yellow]"


def _data_rows(run_result: RunResult) -> Iterator[Row]:
    for sentence in run_result.counts.warnings:
        yield "rows", f"[yellow]{escape(sentence)}[/yellow]"
    if run_result.missing_spans:
        yield "window", f"[yellow]{run_result.missing_spans_words}[/yellow]"
    for finding in run_result.data_findings:
        if finding.severity == "warn":
            yield "data", f"[yellow]{escape(finding.sentence)}[/yellow]"
        elif finding.severity == "cannot_judge":
            yield "data", escape(finding.sentence)
    for sentence in run_result.accepted:
        yield "accepted", f"[yellow]{escape(sentence)}[/yellow]"


def _start_rows(training: TrainingReport) -> Iterator[Row]:
    yield "vocabularies", ", ".join(f"{name} {size:,}" for name, size in training.vocabulary_sizes.items())
    if training.warm_started_from:
        yield "start", escape(f"warm, from {training.warm_started_from}")
        yield "  carried", _transferred(training.warm_start.tables)
        for sentence in training.warm_start.not_carried:
            yield "  not carried", escape(sentence)
    else:
        yield "start", escape("; ".join(["cold", *training.warm_start.not_carried]))
    if tuned := training.tuned:
        yield "tuned", escape(", ".join(f"{place} {_short(value)}" for place, value in tuned.items()))


def _training_rows(run_result: RunResult) -> Iterator[Row]:
    training = run_result.training
    spans = ", ".join(str(span) for span in run_result.spans)
    yield (
        "training",
        f"{training.num_examples:,} examples of span {spans}: {training.num_epochs} epochs, "
        f"{training.num_steps:,} steps in {training.seconds:.0f} s, "
        f"{training.examples_per_second:,.0f} examples/s",
    )
    if withheld := training.num_withheld_examples:
        yield (
            "  left out",
            f"{withheld:,} training examples that can share their label with an evaluation example of the run's span",
        )
    if held_out := training.num_held_out_examples:
        yield "  held out", f"{held_out:,} training examples of this span, on which early stopping validates"
    if training.num_trained_examples < training.num_examples * training.num_epochs:
        yield "  drawn", f"{training.num_trained_examples:,} examples in all epochs together"
    if steps := training.resumed_at:
        yield "  resumed", f"after a kill, at step {', '.join(f'{step:,}' for step in steps)}"
    if (position := training.position) is not None and position.num_weighted:
        yield (
            "  weighted",
            f"{position.num_weighted:,} examples by the chance of their place, worth {position.effective_size:,.0f} of "
            f"equal weight; {position.num_clipped:,} weights were clipped",
        )
    elif position is not None and position.values:
        effects = zip(position.values, position.logits, strict=True)
        yield f"  {escape(position.feature)}", escape(", ".join(f"{name}: {logit:+.2f}" for name, logit in effects))
    if sizes := training.wide_table_sizes:
        non_zero = sum(training.wide_non_zero_rows.values())
        yield "wide weights", f"{non_zero:,} of {sum(sizes.values()):,} non-zero"
    yield "signatures", ", ".join(training.signatures)
    for words in absence_words(training.absent_signatures):
        yield "", escape(words)


def _progress_rows(run_result: RunResult) -> Iterator[Row]:
    if progress := run_result.progress:
        metrics = [f"{name} {against_baseline(progress.measured, name)}" for name in progress.measured.metrics]
        yield "unseen span", f"model trained to span {progress.trained_to}: {'; '.join(metrics)}"
    if run_result.progress_problem:
        problem = escape(f"not measured: {run_result.progress_problem}")
        yield "" if run_result.progress else "unseen span", problem
    if run_result.held_against:
        yield "held against", escape(run_result.held_against)


def _push_rows(run_result: RunResult) -> Iterator[Row]:
    if run_result.version is None:
        yield "pushed", "[red]no[/red]: " + escape("; ".join(run_result.refusals))
        return
    note = f", {escape(run_result.push_note)}" if run_result.push_note else ""
    yield "pushed", f"[green]yes[/green], as version {run_result.version}{note}"
    if run_result.forced:
        yield "  forced", escape(f"{run_result.forced}; refused: {'; '.join(run_result.refusals)}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _transferred(tables: Mapping[str, TableReport]) -> RenderableType:
    """Returns a table of what a warm start carried over, by weight table."""
    transferred = Table(box=None, pad_edge=False)
    transferred.add_column("rows of", no_wrap=True)
    for column in ("kept", "new", "dropped", "norm"):
        transferred.add_column(column, justify="right")
    for name, rows in tables.items():
        transferred.add_row(name, f"{rows.kept:,}", f"{rows.new:,}", f"{rows.dropped:,}", f"{rows.carried_norm:.3g}")
    return transferred


def _rows(run_result: RunResult) -> str:
    counts = run_result.counts
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.rejected.get(IMPRESSIONS, {}).items()))
    rejected = f"{counts.num_rejected:,} rejected" + (f" ({reasons})" if reasons else "")
    return ", ".join([f"{counts.read.get(IMPRESSIONS, 0):,} read", rejected, *_multi_line(counts, IMPRESSIONS)])


def _late(late: LateCounts) -> str:
    """Says what became of the tail of the span before."""
    if late.not_ingested:
        return f"no impression of span {late.span} is completed: this config and code did not ingest the span"
    if not late.waiting and not late.lost:
        return f"no impression of span {late.span} is completed, as it left none out"
    left_out = late.waiting + late.lost
    parts = [f"{late.completed:,} of {left_out:,} impressions that span {late.span} left out are completed"]
    if late.completed:
        parts.append(f"{late.positives:,} of them positive, {late.found_late:,} by an install of the run's span")
    if late.shared:
        parts.append(f"{late.shared:,} can share their label with an evaluation example of the run's span")
    if late.still_open:
        parts.append(f"{late.still_open:,} left out for good, as their windows are open at its end too")
    return "; ".join(parts)


def _multi_line(counts: Counts, source: str) -> list[str]:
    """Reports the source's rows that span several lines, if any: a stray quote can merge several rows into one."""
    number = counts.lines[source].multi_line_rows if source in counts.lines else 0
    return [f"{number:,} of several lines"] if number else []


def _table_rows(run_result: RunResult, source: str) -> str:
    counts = run_result.counts
    parts = [f"{counts.read[source]:,} read"]
    parts += [f"{n:,} rejected ({reason})" for reason, n in sorted(counts.rejected.get(source, {}).items())]
    parts += _multi_line(counts, source)
    if counts.unmatched.get(source):
        parts.append(f"{counts.unmatched[source]:,} impressions without a match")
    return ", ".join(parts)
