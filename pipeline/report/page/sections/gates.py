"""The section on the gates' verdicts: of each gate, what passed and what is nearest to its bound, and each finding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.data_validation import decision
from components.evaluation.results import EvaluationResult
from components.gate_records import Finding, Rule, is_of
from components.quality_gate import rules
from pipeline.report.alike import OF_RULES, WORDS, united
from pipeline.report.page import numbers
from pipeline.report.page.parts import MAX_ROWS, Block, Fold, Note, Table
from pipeline.report.result.run import Run
from transform.config.evaluation import HIGHER_IS_BETTER, Evaluation, kind_of

#: Maximum number of findings that are listed one by one.
_MAX_FINDINGS = 500

_COLUMNS = ("verdict", "subject", "sentence", "#value", "#bound", "#rows", "rule")


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    report = run.report
    if report.status == "skipped":
        yield Note(f"{report.skipped_by} stopped the run: {report.reason}", "bad")
    record = run.contents.data_record.get()
    data = report.data_findings or (record.findings if record else ())
    judged = record is not None or bool(data)
    yield from _findings("The gate on data", decision.RULES, data, _nearest_drift(run) if judged else None)
    verdict = report.infra
    if verdict is None:
        yield Note(run.absent("Infra validation did not run."), "quiet")
    elif verdict.problems:
        yield from (Note(f"Infra validation refuses the model: {problem}", "bad") for problem in verdict.problems)
    else:
        yield Note("Infra validation lets the run through.", "good")
    if report.status == "failed":
        yield Note(run.absent("The gate on quality did not judge the run."), "quiet")
    else:
        whole, bounds = run.contents.measured.get(), run.contents.evaluation.content  # an earlier release's may not fit
        nearest = nearest_bound(whole, bounds) if whole and bounds else ""
        yield from _findings("The gate on quality", rules.RULES, report.findings, nearest if report.metrics else None)
    yield from (Note(f"Accepted: {sentence}", "warn") for sentence in report.accepted)
    if report.forced:
        yield Note(f"The push was forced: {report.forced}; refused: {'; '.join(report.refusals)}", "warn")


def _findings(gate: str, of_gate: Sequence[Rule], findings: Sequence[Finding], nearest: str | None) -> Iterator[Block]:
    """Yields a gate's summary and its findings; `nearest` is None if it did not judge the run."""
    if nearest is None:
        yield Note(f"{gate} did not judge the run.", "quiet")
        return
    severities = {finding.severity for finding in findings}
    worst = next((severity for severity in ("stop", "refuse") if severity in severities), "")
    verdict = WORDS.get(worst, "lets the run through")
    at_bound = f" Nearest to its bound: {nearest}." if nearest else ""
    yield Note(f"{gate} {verdict}: {summary(of_gate, findings)}.{at_bound}", "bad" if worst else "good")
    if not findings:
        return
    shown = united(findings, "in the list below")
    yield Table.bounded(f"{gate}: findings, the most severe first", _COLUMNS, _rows(shown))
    if len(shown) < len(findings) or len(shown) > MAX_ROWS:
        rows = _rows(findings)
        table = Table(f"{gate}: each finding", _COLUMNS, rows[:_MAX_FINDINGS], max(len(rows) - _MAX_FINDINGS, 0))
        yield Fold(f"All {numbers.count(len(findings))} findings one by one: {gate[0].lower()}{gate[1:]}", [table])


def _rows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    return [
        (WORDS[f.severity], f.subject, f.sentence, _number(f.value), _number(f.bound),
         "–" if f.rows is None else numbers.count(f.rows), f.rule)
        for f in findings
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else numbers.short(value)


def summary(of_gate: Sequence[Rule], findings: Sequence[Finding]) -> str:
    """Says how many rules, which are keys of the config, have no finding of a gate, and names the others.

    A rule that does not apply, such as one on tables without a table, has none.
    """
    keys = list(dict.fromkeys(key for rule in of_gate for key in rule.ids))
    by_key = {key: [f.severity for f in findings if is_of(f.rule, key)] for key in keys}
    words = [f"{sum(not found for found in by_key.values())} of {len(keys)} rules have no finding"]
    for severity in WORDS:  # the most severe first, which is a rule's
        of_it = [key for key, found in by_key.items() if next((s for s in WORDS if s in found), "") == severity]
        if of_it:
            words.append(f"{OF_RULES[severity]}: {', '.join(of_it)}")
    return "; ".join(words)


def _nearest_drift(run: Run) -> str:
    """Returns the judged feature that is first in the list of drift, with its bound; empty if none is judged."""
    for name, drift in run.contents.feature_drift.items():
        if drift.is_judged and not drift.is_constant:
            return f"the drift of {name}, {drift.distance:.4f} (at most {drift.bound:.4f})"
    return ""


def nearest_bound(whole: EvaluationResult, evaluation: Evaluation) -> str:
    """Returns the metric over all examples that is nearest to a bound, in half-widths of its 95 % interval, as text."""
    rooms = [room for room in _rooms(whole, evaluation) if not math.isnan(room[0])]
    return min(rooms)[1] if rooms else ""


def _rooms(whole: EvaluationResult, evaluation: Evaluation) -> Iterator[tuple[float, str]]:
    """Yields how far each metric is from each of its bounds, in half-widths, and its value with the bound."""
    for name, rule in evaluation.thresholds.items():
        if name not in whole.metrics:
            continue
        found = whole.candidate(name)
        value, half = f"{name}, {found.value:.4f}", found.half_width or math.nan
        if rule.min is not None:
            yield (found.value - rule.min) / half, f"{value} (at least {rule.min:g})"
        if rule.max is not None:
            yield (rule.max - found.value) / half, f"{value} (at most {rule.max:g})"
        change = whole.changes.get(name)
        if rule.max_worsening is not None and change is not None:
            worse = -change.value if HIGHER_IS_BETTER[kind_of(name)] else change.value
            words = f"the change of {name}, {numbers.signed(change.value)} (worse by at most {rule.max_worsening:g})"
            yield (rule.max_worsening - worse) / (change.half_width or math.nan), words
    if evaluation.max_miscalibration is not None and "calibration" in whole.metrics:
        found, most = whole.candidate("calibration"), evaluation.max_miscalibration
        room = (most - abs(found.value - 1)) / (found.half_width or math.nan)
        yield room, f"calibration, {found.value:.4f} (at most {most:g} from 1)"
