"""The section on changes: what is better, worse or other than in the last run that trained a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.gate_records import Finding
from components.ingestion.counts import Counts
from pipeline.report.assessment import judged_change
from pipeline.report.page import numbers
from pipeline.report.page.parts import Block, Note, Table, Tone
from pipeline.report.page.sections.verdict import DECIDING
from pipeline.report.result.run import Run
from pipeline.report.run_report import RunReport
from transform.feature import IMPRESSIONS

#: A row: what it is about, the value before, the value now, the change, what this means, and the colour of that.
_Row = tuple[str, str, str, str, str, Tone]

#: Maximum number of keys of the config, and of vocabularies, that have a row.
_MAX_KEYS, _MAX_VOCABULARIES = 12, 5

#: 95 % of a normal distribution are within this many standard deviations.
_Z = 1.96

_COLUMNS = ("what", "#before", "#now", "#change", "verdict")

_DRIFT_RULES = ("drift.max_divergence", "drift.divergence_floor", "drift.max_presence_change")


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    before = run.near.trained
    if before is None:
        yield Note("No earlier run of the pipeline trained a model, so there is nothing to compare with.", "quiet")
    else:
        ended = f"{before.ended:%Y-%m-%d %H:%M} UTC"
        yield Note(f"Compared with the run {before.run_id} of span {before.label}, {before.report.status}, {ended}.")
    rows = [*_metrics(run.report)]
    if before is not None:
        rows += [*_data(run, before.report), *_config(run), *_training(run.report, before.report)]
    if rows:
        *cells, tones = zip(*rows, strict=True)
        caption = "Before: for metrics, the baseline on the same rows; for the rest, the last run"
        yield Table(caption, _COLUMNS, list(zip(*cells, strict=True)), tones=tones)


def _metrics(report: RunReport) -> Iterator[_Row]:
    """Yields the change of each metric from the baseline; beyond chance if the 95 % interval excludes zero."""
    for name in DECIDING:
        if name in report.metrics and name in report.baseline:
            value, other = report.metrics[name], report.baseline[name]
            low, high = report.changes.get(name, (math.nan, math.nan))
            change = f"{numbers.signed(value - other)} ({numbers.between(low, high)})"
            words, tone = judged_change(name, value, other, low, high)
            yield name, numbers.metric(other), numbers.metric(value), change, words, tone


def _data(run: Run, before: RunReport) -> Iterator[_Row]:
    counts = run.contents.counts.get()
    read, read_before = (c.read.get(IMPRESSIONS, 0) for c in (counts, before.counts))
    if read and read_before:
        yield _sized("impressions read", read_before, read)
    found, found_before = label_share(counts), label_share(before.counts)
    if found is not None and found_before is not None:
        (share, error), (share_before, error_before) = found, found_before
        change, width = share - share_before, _Z * math.hypot(error, error_before)
        words = "no change beyond chance" if abs(change) <= width else "higher" if change > 0 else "lower"
        cells = (numbers.percent(share_before), numbers.percent(share), f"{_points(change)} ± {100 * width:.2f} points")
        yield "examples with label 1", *cells, words, ""
    record = run.contents.data_record.get()
    if record is not None:
        names, names_before = drifted(record.findings), drifted(before.data_findings)
        judged: tuple[str, Tone] = ("drifted", "warn") if names else ("none", "good")
        yield "drifted features", _listed(names_before), _listed(names), "", *judged


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _sized(what: str, before: float, now: float) -> _Row:
    change = now / before - 1 if before else math.nan
    share = "" if math.isnan(change) else f" ({100 * change:+.1f} %)"
    return what, numbers.count(before), numbers.count(now), f"{now - before:+,.0f}{share}".replace("-", "−"), "", ""


def label_share(counts: Counts) -> tuple[float, float] | None:
    """Returns the share of label 1 and its standard error, as if examples were independent; None without examples."""
    positive, negative = (sum(of.get(label, 0) for of in counts.labels.values()) for label in "10")
    if not positive + negative:
        return None
    share = positive / (positive + negative)
    return share, math.sqrt(share * (1 - share) / (positive + negative))


def drifted(findings: Sequence[Finding]) -> list[str]:
    """Returns the features whose distribution or presence is out of its bound, by the gate on data."""
    judged = (f for f in findings if f.severity != "cannot_judge" and f.rule.startswith(_DRIFT_RULES))
    return sorted({finding.subject for finding in judged})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _config(run: Run) -> Iterator[_Row]:
    changed = run.config_changes.get()
    if changed is None:
        yield "config", "", "", "", "not known: one of the runs ended before its push", ""
    elif not changed:
        yield "config", "", "", "", "no key changed", ""
    else:
        for key, (before, now) in list(changed.items())[:_MAX_KEYS]:
            yield f"config, {key}", before, now, "", "changed", "warn"
        if len(changed) > _MAX_KEYS:
            yield "config", "", "", "", f"{len(changed) - _MAX_KEYS:,} more keys changed", "warn"


def _training(report: RunReport, before: RunReport) -> Iterator[_Row]:
    now, then = report.training, before.training
    if now is None or then is None:
        return
    sizes = {name: (then.vocabulary_sizes.get(name, 0), size) for name, size in now.vocabulary_sizes.items()}
    others = sorted((name for name, (one, two) in sizes.items() if one != two), key=lambda name: -sizes[name][1])
    for name in others[:_MAX_VOCABULARIES]:
        yield _sized(f"vocabulary, {name}", *sizes[name])
    if len(sizes) > len(others[:_MAX_VOCABULARIES]):
        words = f"{len(others[_MAX_VOCABULARIES:])} changed, {len(sizes) - len(others)} have as many tokens as before"
        yield "other vocabularies", "", "", "", words, ""
    yield "training time", numbers.seconds(then.seconds), numbers.seconds(now.seconds), "", "", ""
