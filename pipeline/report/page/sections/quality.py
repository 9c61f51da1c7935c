"""The section on metrics, with their 95 % intervals: over all evaluation examples, and by slice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.evaluation.results import EvaluationResult
from components.quality_gate.inputs import ReferenceResult
from pipeline.registry.progressive import ProgressiveValidation
from pipeline.report import references
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run
from pipeline.report.run_report import RunReport
from transform.files.reference_scores import reference_words

#: The metrics of a slice, if they were measured.
_SHOWN = ("auc", "logloss", "calibration")

#: Maximum number of slices in the chart.
_MAX_POINTS = 24


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    report = run.report
    if not report.metrics:
        yield Note(run.absent("The model was not evaluated, so there are no metrics."), "quiet")
    else:
        yield from (*_whole(run), *_references(report), *_slices(report))
    if report.progress is not None:
        yield _unseen(report.progress)
    if report.progress_problem:
        yield Note(f"An earlier model was not measured on this span: {report.progress_problem}")


def _whole(run: Run) -> Iterator[Block]:
    report = run.report
    if not report.baseline:
        yield Note("No baseline was evaluated on the same examples, so no change is known.", "quiet")
    whole = run.contents.measured.get()
    rows = [
        (name, numbers.with_interval(whole.candidate(name)) if whole else numbers.metric(value),
         numbers.metric(report.baseline.get(name, math.nan)),
         _changed(value - report.baseline.get(name, math.nan), *report.changes.get(name, (math.nan, math.nan))))
        for name, value in report.metrics.items()
    ]  # fmt: skip
    columns = ("metric", "#candidate (95 % interval)", "#baseline", "#change (95 % interval)")
    caption = f"Metrics on {numbers.count(report.num_eval_examples)} evaluation examples"
    yield Table.bounded(caption, columns, rows)


def _changed(change: float, low: float, high: float) -> str:
    return numbers.signed(change) + ("" if math.isnan(low) or math.isnan(high) else f" ({numbers.between(low, high)})")


def _references(report: RunReport) -> Iterator[Block]:
    """Yields the reference models, and a sentence for each that is not beaten or was not fitted."""
    if report.references:
        columns, rows = reference_table(report)
        fitted = references.fitted_on(report)
        caption = f"Reference models, {fitted}, on the same examples; of a positive gain the candidate is better"
        yield Table.bounded(caption, ("reference model", *(f"#{column}" for column in columns)), rows)
    not_beaten = [one.sentence for one in references.unbeaten(report.references)]
    others = [sentence for sentence in references.warnings(report) if sentence not in not_beaten]
    for sentence in not_beaten:
        yield Note(f"The candidate model is {sentence}.", "warn")
    for sentence in others:
        yield Note(f"{sentence[:1].upper()}{sentence[1:]}.", "warn")
    if report.references and not not_beaten and not others:
        yield Note("The candidate model is better than each reference model.", "good")
    for sentence in references.left_out(report):
        yield Note(f"{sentence[:1].upper()}{sentence[1:]}.", "quiet")


def reference_table(report: RunReport) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Returns the headings but the first, and the rows: each reference model's metrics, and the candidate's gain."""
    columns = [heading for metric in references.METRICS for heading in (metric, "candidate's gain ± 95 %")]
    rows = [
        (reference_words(name), *(cell for metric in references.METRICS for cell in _reference_cells(found, metric)))
        for name, found in report.references.items()
    ]
    return columns, rows


def _reference_cells(found: ReferenceResult, metric: str) -> tuple[str, str]:
    gain = found.gain(metric)
    return (
        numbers.metric(found.metrics.get(metric, math.nan)),
        "–" if gain is None else f"{numbers.signed(gain.value)} ± {numbers.metric(gain.half_width)}",
    )


def _unseen(progress: ProgressiveValidation) -> Table:
    measured = progress.measured
    rows = [
        (name, numbers.with_interval(measured.candidate(name)),
         numbers.metric(measured.baseline.get(name, math.nan)),
         numbers.between(measured.changes[name].low, measured.changes[name].high) if name in measured.changes else "–")
        for name in measured.metrics
    ]  # fmt: skip
    caption = (
        f"On span {progress.span}, which it had not seen: the model trained to span {progress.trained_to}, and the one "
        "before it"
    )
    return Table.bounded(caption, ("metric", "#model", "#model before", "#95 % interval of the change"), rows)


def _slices(report: RunReport) -> Iterator[Block]:
    if not report.slices:
        yield Note("The config has no slices, or none has enough examples.", "quiet")
        return
    names = [name for name in _SHOWN if name in report.metrics]
    ordered = sorted(report.slices.items(), key=lambda item: -item[1].num_examples)
    metric = "auc" if "auc" in report.metrics else names[0] if names else next(iter(report.metrics))
    rows = [
        (name, numbers.count(measured.num_examples), numbers.count(measured.num_positives),
         *(_cell(measured, n) for n in names), _change(measured, metric))
        for name, measured in ordered
    ]  # fmt: skip
    columns = ("slice", "#examples", "#positive", *(f"#{n} (95 % interval)" for n in names), f"#change of {metric}")
    data = Table.bounded("Metrics by slice, the largest slices first", columns, rows)
    yield from _slice_chart(report, metric, data)


def _cell(measured: EvaluationResult, name: str) -> str:
    if name not in measured.metrics:
        return "–"
    return numbers.with_interval(measured.candidate(name))


def _change(measured: EvaluationResult, name: str) -> str:
    change = measured.changes.get(name)
    return "–" if change is None else numbers.between(change.low, change.high)


def _slice_chart(report: RunReport, metric: str, data: Table) -> Iterator[Block]:
    """Yields the changes from the baseline by slice, or, without a baseline, the metric itself."""
    has_changes = bool(report.baseline)
    found = []
    for name, measured in sorted(report.slices.items(), key=lambda item: -item[1].num_examples):
        estimate = measured.changes.get(metric) if has_changes else None
        if not has_changes and metric in measured.metrics:
            estimate = measured.candidate(metric)
        if estimate is not None and not math.isnan(estimate.value) and not math.isnan(estimate.standard_error):
            found.append((name, estimate))
    if not found:
        yield data
        return
    what = f"change of {metric}" if has_changes else metric
    text = numbers.signed if has_changes else numbers.metric
    values = [{"y": n, "x": e.value, "a": e.low, "b": e.high, "s": what} for n, e in found[:_MAX_POINTS]]
    worst = min(found, key=lambda item: item[1].value)
    words = (
        f"The {what} with its 95 % interval, for the largest slices. The lowest value is "
        f"{text(worst[1].value)}, in {worst[0]}."
    )
    spec = charts.intervals(values, what, zero=has_changes)
    yield Figure(f"Slices: {what}", words, spec, data, is_wide=True)
