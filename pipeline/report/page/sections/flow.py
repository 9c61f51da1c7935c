"""The section on the way of the data: the number of rows at every step."""

from __future__ import annotations

from collections.abc import Iterator

from components.ingestion.counts import Counts
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run
from transform.feature import IMPRESSIONS


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    counts = run.contents.counts.get()
    if not counts.read:
        yield Note("No rows were counted: the run ended before its logs were read.", "quiet")
        return
    steps = list(_steps(run, counts))
    rows = [(name, numbers.count(number), words) for name, number, words in steps]
    data = Table("Rows at every step", ("step", "#rows", "what happened"), rows)
    chart = charts.bars([{"y": name, "x": number, "s": "rows"} for name, number, _ in steps], "rows")
    words = "; ".join(f"{name} {numbers.count(number)}" for name, number, _ in steps)
    yield Figure("From log to model", f"The number of rows at every step: {words}.", chart, data, is_wide=True)
    sources = [
        (
            source,
            numbers.count(number),
            numbers.count(sum(counts.rejected.get(source, {}).values())),
            numbers.count(counts.unmatched[source]) if source in counts.unmatched else "0",
            numbers.count(counts.lines[source].multi_line_rows) if source in counts.lines else "–",
        )
        for source, number in sorted(counts.read.items(), key=lambda item: (item[0] != IMPRESSIONS, item[0]))
    ]
    columns = ("source", "#rows read", "#rejected", "#impressions without a match", "#rows of several lines")
    yield Table.bounded("Rows by source", columns, sources)
    yield _rejected(counts)
    yield from (Note(f"{sentence}.", "warn") for sentence in counts.warnings)
    if run.report.missing_spans:
        yield Note(f"{run.report.missing_spans_words[0].upper()}{run.report.missing_spans_words[1:]}.", "warn")
    for sentence in counts.unusable_files:
        yield Note(sentence, "bad")


def _rejected(counts: Counts) -> Block:
    rejected = [
        (source, reason, numbers.count(number), numbers.share(number, counts.read.get(source, 0)))
        for source, by_reason in sorted(counts.rejected.items())
        for reason, number in sorted(by_reason.items(), key=lambda item: -item[1])
    ]
    if not rejected:
        return Note("No row was rejected.")
    return Table.bounded("Rejected rows by reason", ("source", "reason", "#rows", "#share"), rejected)


def _steps(run: Run, counts: Counts) -> Iterator[tuple[str, int, str]]:
    """Yields each step: its name, its number of rows, and what happened."""
    read = counts.read.get(IMPRESSIONS, 0)
    yield "impressions read", read, f"span {counts.span}"
    if counts.num_rejected:
        yield "rejected", counts.num_rejected, f"{numbers.share(counts.num_rejected, read)} of the impressions"
    if counts.unknown_labels:
        words = ", and no run trains on them" if run.report.never_trained_words else ""
        words = f"left out: the last impressions, whose labels may still come{words}"
        yield "label not known", counts.unknown_labels, words
    for split in sorted(counts.num_examples, reverse=True):
        positives = counts.labels[split].get("1", 0)
        whole = counts.num_examples[split]
        words = f"{numbers.count(positives)} positives, {numbers.share(positives, whole)}"
        yield f"{split} examples of the span", whole, words
    training = run.report.training
    if training is None:
        return
    if (late := run.report.late) is not None and late.completed:
        words = f"of span {late.span}, which left them out; {numbers.count(late.found_late)} installed since its end"
        yield "labels completed", late.completed, words
    spans = ("span" if len(run.report.spans) == 1 else "spans") + " " + ", ".join(map(str, run.report.spans))
    if run.report.late_spans:
        spans += ", and late labels of span " + ", ".join(map(str, run.report.late_spans))
    yield "examples of the window", training.num_examples, f"of {spans}, what the trainer may train on"
    if training.num_withheld_examples:
        yield "withheld", training.num_withheld_examples, "can share their label with an evaluation example"
    if training.num_held_out_examples:
        yield "held out", training.num_held_out_examples, "early stopping validates on them"
    per_epoch = training.num_trained_examples / max(training.num_epochs, 1)
    epochs = numbers.plural(training.num_epochs, "epoch")
    words = f"{epochs}, {numbers.count(training.num_trained_examples)} examples in all"
    yield "trained on per epoch", round(per_epoch), words
    if run.report.num_eval_examples:
        who = "both models" if run.report.baseline else "the candidate model"
        yield "evaluated", run.report.num_eval_examples, f"evaluation examples that {who} scored"
