"""Formats a model's quality for the summary: metrics, slices, and what could not be judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from components.evaluation.results import EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import ReferenceResult
from pipeline.report import references
from pipeline.report.alike import united
from pipeline.report.run_report import RunResult
from transform.files.reference_scores import reference_words

#: Maximum number of slices, and of findings of one kind, in the summary; the report has all of them.
MAX_SLICES, MAX_FINDINGS = 12, 5

#: The metrics shown for a slice.
_SHOWN = ("auc", "logloss", "calibration")


def quality_rows(run_result: RunResult) -> Iterator[tuple[str, RenderableType]]:
    """Yields the summary's rows: what, and how much."""
    for name, value in run_result.metrics.items():
        yield name, f"{value:.4f}  ({against(run_result, name)})"
    yield from _references(run_result)
    if run_result.slices:
        yield "slices", _slices(run_result)
    for what, severity in (("warning", "warn"), ("cannot judge", "cannot_judge")):
        yield from _findings(what, united(f for f in run_result.findings if f.severity == severity))


def against(run_result: RunResult, metric: str) -> str:
    """Compares a metric with the baseline's: its value, and the confidence interval of the change."""
    if metric not in run_result.baseline:
        return "no baseline"
    against = f"baseline {run_result.baseline[metric]:.4f}"
    if metric not in run_result.changes:
        return against
    low, high = run_result.changes[metric]
    return f"{against}, change {low:+.4f} to {high:+.4f}"


def _references(run_result: RunResult) -> Iterator[tuple[str, RenderableType]]:
    """Yields a table of the reference models, and a sentence for each that is not beaten or was not fitted."""
    if run_result.references:
        table = Table(box=None, pad_edge=False)
        table.add_column("reference model", no_wrap=True)
        for header in ("auc", "model's gain", "logloss", "model's gain"):
            table.add_column(header, justify="right", no_wrap=True)
        for name, reference in run_result.references.items():
            cells = (cell for metric in references.METRICS for cell in _reference_cells(reference, metric))
            table.add_row(reference_words(name), *cells)
        yield "reference models", table
        yield "", references.fitted_on(run_result)
    for sentence in (references.verdict_sentence(run_result), *references.warnings(run_result)):
        if sentence:
            yield "", f"[yellow]{escape(sentence)}[/yellow]"
    yield from (("", escape(sentence)) for sentence in references.left_out(run_result))


def _reference_cells(reference: ReferenceResult, metric: str) -> tuple[str, str]:
    """Returns a reference model's metric, and the candidate model's gain: positive where it is better."""
    value, gain = reference.metrics.get(metric), reference.gain(metric)
    return (
        "-" if value is None else f"{value:.4f}",
        "-" if gain is None else f"{gain.value:+.4f} ± {gain.half_width:.4f}",
    )


def _findings(what: str, found: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    for finding in found[:MAX_FINDINGS]:
        yield what, f"[yellow]{escape(finding.sentence)}[/yellow]"
    if left := found[MAX_FINDINGS:]:
        subjects = escape(", ".join(finding.subject for finding in left[:MAX_SLICES]))
        more = f", and {len(left) - MAX_SLICES} others (all in the report)" if len(left) > MAX_SLICES else ""
        yield what, f"[yellow]also: {subjects}{more}[/yellow]"


def _slices(run_result: RunResult) -> RenderableType:
    """Returns a table of slices: those with a refusal first, then the largest."""
    refused = {finding.subject for finding in run_result.findings if finding.severity == "refuse"}

    def rank(name: str) -> tuple[bool, int]:
        is_refused = any(subject.endswith(f" where {name}") for subject in refused)
        return not is_refused, -run_result.slices[name].num_examples

    table = Table(box=None, pad_edge=False)
    table.add_column("slice", overflow="fold")
    names = [name for name in _SHOWN if name in run_result.metrics]
    for header in ("examples", "positive", *names):
        table.add_column(header, justify="right", no_wrap=True)
    shown = sorted(run_result.slices, key=rank)[:MAX_SLICES]
    for name in shown:
        measured = run_result.slices[name]
        cells = (f"{measured.num_examples:,}", f"{measured.num_positives:,}", *(_cell(measured, n) for n in names))
        table.add_row(escape(name), *cells)
    if left := len(run_result.slices) - len(shown):
        table.add_row(f"and {left:,} smaller ones, in the report")
    return table


def _cell(measured: EvaluationResult, metric: str) -> str:
    """Formats a metric, with its change and the change's half-width if there is one."""
    value = measured.metrics[metric]
    if math.isnan(value):
        return "-"
    change = measured.changes.get(metric)
    if change is None or math.isnan(change.value):
        return f"{value:.3f}"
    return f"{value:.3f} ({change.value:+.3f} ± {change.half_width:.3f})"
