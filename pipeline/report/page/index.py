"""The index of all runs, `reports/index.html`: metrics, vocabularies, cost and refusals over time, and the versions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from absl import logging

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.versions import history, versions
from pipeline.registry.list import note
from pipeline.report.page import charts, numbers
from pipeline.report.page.charts import Datum
from pipeline.report.page.compare import compared_values
from pipeline.report.page.parts import Block, Figure, Note, Section, Table
from pipeline.report.page.render import collect_figures, render_page
from pipeline.report.page.sections.verdict import TONES, title
from pipeline.report.records import Record, read_record, report_files
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from transform.errors import InputError
from transform.feature import IMPRESSIONS

INDEX_FILE = "index.html"

#: The newest runs are shown; others have their pages, but no place in the index.
MAX_RUNS = 120

#: The metrics that are drawn, if they were measured.
_METRICS = ("auc", "logloss", "calibration")

_CANDIDATE, _BASELINE, _NOT_PUSHED = "candidate", "baseline", "not pushed"

#: The heading of the runs whose reports do not name their pipeline, among those of several.
_UNNAMED = "runs of an earlier release"

#: Vocabularies that are drawn: the largest of the newest run.
_MAX_VOCABULARIES = 5


def words(record: Record) -> str:
    """Says how a run ended, and why."""
    report = record.report
    why = "; ".join(report.refusals) or report.reason
    return f"{title(report)}: {why}" if why else title(report)


def write_index(workspace: Workspace, cache: Path) -> Path:
    """Writes the index of a workspace's runs, and returns its file; `cache` is as in `render_page`."""
    path = workspace.reports / INDEX_FILE
    storage.write_text(str(path), render_index(workspace, cache))
    return path


def render_index(workspace: Workspace, cache: Path) -> str:
    """Returns the index of a workspace's runs as HTML."""
    runs, problems = _read_runs(workspace.reports)
    pipelines = _by_pipeline(runs)
    served = {
        folder.name: (history(str(folder)), versions(str(folder)))
        for folder in sorted((workspace.root / "serving").glob("*"))
        if folder.is_dir() and not folder.name.startswith(".")
    }
    sections = [
        Section("metrics", "Metrics over time", list(_render_each(pipelines, _metrics))),
        Section("vocabularies", "Vocabularies over time", list(_render_each(pipelines, _vocabularies))),
        Section("cost", "Rows, time and cost", list(_render_each(pipelines, _costs))),
        Section("refusals", "Runs that pushed nothing", list(_render_each(pipelines, _refusals))),
        Section("versions", "Versions that served", list(_versions(served))),
    ]
    serving = [f"{name}: version {existing[-1]} serves" for name, (_, existing) in served.items() if existing]
    values = {
        "runs": list(reversed(runs)), "sections": sections, "serving": serving or ["No version serves."],
        "problems": problems, "has_several": len(pipelines) > 1, "words": words, "tones": TONES,
        "compared": compared_values(runs[::-1]),
    }  # fmt: skip
    return render_page("index.html", cache, values, collect_figures(sections), "compare.js" if len(runs) > 1 else "")


def _read_runs(reports: Path) -> tuple[list[Record], list[str]]:
    """Reads the newest reports, the oldest first; a report that cannot be read is a sentence."""
    files = report_files(reports)
    runs, problems = [], []
    if len(files) > MAX_RUNS:
        problems.append(f"The {len(files) - MAX_RUNS:,} oldest runs are not shown; they have pages of their own.")
    for file in files[-MAX_RUNS:]:
        try:
            runs.append(read_record(file))
        except InputError as error:
            logging.warning("a run's report is left out of the index: %s", error)
            problems.append(f"A report is left out: {error}")
    return runs, problems


def _by_pipeline(runs: Sequence[Record]) -> dict[str, list[Record]]:
    """Returns the runs of each pipeline, by its name; all runs, by an empty name, if there is one pipeline.

    A report of an earlier release does not name its pipeline. Among those of several, such reports are on their own.
    """
    names = sorted({run.report.pipeline for run in runs})
    if len(set(names) - {""}) < 2:
        return {"": list(runs)}
    return {name or _UNNAMED: [run for run in runs if run.report.pipeline == name] for name in names}


def _render_each(
    pipelines: Mapping[str, Sequence[Record]], blocks: Callable[[Sequence[Record]], Iterator[Block]]
) -> Iterator[Block]:
    """Yields the blocks of each pipeline's runs; their headings name it if there are several."""
    for name, runs in pipelines.items():
        for block in blocks(runs):
            yield _headed(block, name) if name else block


def _headed(block: Block, pipeline: str) -> Block:
    match block:
        case Note():
            return dataclasses.replace(block, text=f"{pipeline}: {block.text}")
        case Figure():
            data = dataclasses.replace(block.data, caption=f"{pipeline}: {block.data.caption}")
            return dataclasses.replace(block, title=f"{pipeline}: {block.title}", data=data)
        case Table():
            return dataclasses.replace(block, caption=f"{pipeline}: {block.caption}")
        case _:
            return block


def _by_span(runs: Sequence[Record]) -> list[Record]:
    """Returns the last run of each span that has one, by span."""
    return [run for _, run in sorted({run.report.span: run for run in runs}.items())]


def _metrics(runs: Sequence[Record]) -> Iterator[Block]:
    days = _by_span(runs)
    measured = [run for run in days if run.report.metrics]
    if not measured:
        yield Note("No model was evaluated yet.", "quiet")
        return
    for name in _METRICS:
        if not any(name in run.report.metrics for run in measured):
            continue
        data: list[Datum] = []
        for run in measured:
            for series, metrics in ((_CANDIDATE, run.report.metrics), (_BASELINE, run.report.baseline)):
                if name in metrics and not math.isnan(metrics[name]):
                    data.append({"x": run.report.span, "y": metrics[name], "s": series})
        rows = [
            (run.label, numbers.metric(run.report.metrics.get(name, math.nan)),
             numbers.metric(run.report.baseline.get(name, math.nan)), run.report.status)
            for run in reversed(days)
        ]  # fmt: skip
        table = Table.bounded(
            f"{name} by span, the newest first", ("span", f"#{_CANDIDATE}", f"#{_BASELINE}", "run"), rows
        )
        last = measured[-1]
        words = (
            f"The {name} of each span's candidate, and of the baseline, which served before it, on the same "
            f"examples. In span {last.label} the candidate has "
            f"{numbers.metric(last.report.metrics.get(name, math.nan))}."
        )
        pushed = {run.report.span for run in runs if run.report.version is not None}
        blocked = [run for run in days if run.report.span not in pushed]
        spec = charts.history(data, name, [run.report.span for run in blocked], (_CANDIDATE, _BASELINE), _NOT_PUSHED)
        yield Figure(name, words + _blocked_words(blocked), spec, table)


def _blocked_words(blocked: Sequence[Record]) -> str:
    if not blocked:
        return ""
    return f" Nothing was pushed in span {', '.join(run.label for run in blocked)}."


def _vocabularies(runs: Sequence[Record]) -> Iterator[Block]:
    trained = [(run, run.report.training) for run in _by_span(runs)]
    sizes = [(run, training.vocabulary_sizes) for run, training in trained if training is not None]
    if not sizes:
        yield Note("No model was trained yet.", "quiet")
        return
    largest = sorted(sizes[-1][1], key=lambda name: -sizes[-1][1][name])[:_MAX_VOCABULARIES]
    data: list[Datum] = [
        {"x": run.report.span, "y": of_run[name], "s": name}
        for run, of_run in sizes
        for name in largest
        if name in of_run
    ]
    rows = [(run.label, *(numbers.count(of_run.get(name, 0)) for name in largest)) for run, of_run in reversed(sizes)]
    table = Table.bounded("Tokens by span, the newest first", ("span", *(f"#{name}" for name in largest)), rows)
    last = "; ".join(f"{name} {numbers.count(sizes[-1][1][name])}" for name in largest)
    words = f"The number of tokens of the largest vocabularies. In span {sizes[-1][0].label}: {last}."
    yield Figure("Vocabulary sizes", words, charts.history(data, "tokens", (), largest, ""), table, is_wide=True)


def _costs(runs: Sequence[Record]) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    rows_read: list[Datum] = []
    latency: list[Datum] = []
    seconds: list[Datum] = []
    for run in _by_span(runs):
        report, span = run.report, run.report.span
        training, cost = report.training, report.infra.candidate if report.infra else None
        read = report.counts.read.get(IMPRESSIONS)
        if read is not None:
            rows_read.append({"x": span, "y": read, "s": "impressions read"})
        if training is not None:
            seconds.append({"x": span, "y": training.seconds, "s": "training"})
        if cost is not None:
            latency.append({"x": span, "y": cost.best_latency.p95_ms, "s": "p95 of 200 candidates"})
        rows.append((
            run.label,
            "–" if read is None else numbers.count(read),
            "–" if read is None else numbers.share(report.counts.num_rejected, read),
            "–" if training is None else numbers.seconds(training.seconds),
            "–" if cost is None else f"{cost.best_latency.p95_ms:.1f}",
            "–" if cost is None else f"{cost.memory_mb:,.0f}",
            "–" if cost is None else f"{cost.size_mb:,.1f}",
        ))  # fmt: skip
    if not rows:
        yield Note("No run is on record.", "quiet")
        return
    columns = ("span", "#impressions", "#rejected", "#training", "#p95 ms", "#memory MB", "#files MB")
    table = Table.bounded("Rows and cost by span, the newest first", columns, rows[::-1])
    for what, unit, data in (
        ("Rows read", "impressions", rows_read), ("Training time", "seconds", seconds),
        ("Latency", "milliseconds", latency),
    ):  # fmt: skip
        if data:
            low, high = min(d["y"] for d in data), max(d["y"] for d in data)
            words = f"{what} by span, in {unit}: {numbers.short(low)} to {numbers.short(high)}."
            yield Figure(what, words, charts.history(data, unit, (), (), ""), table)
    yield table


def _refusals(runs: Sequence[Record]) -> Iterator[Block]:
    blocked = [run for run in runs if run.report.version is None]
    if not blocked:
        yield Note("Every run pushed its model.", "good")
        return
    rows = [
        (run.label, run.report.status, _blocked_by(run.report),
         "; ".join(run.report.refusals) or run.report.reason, f"{run.ended:%Y-%m-%d %H:%M}", run.run_id)
        for run in reversed(blocked)
    ]  # fmt: skip
    columns = ("span", "run", "by", "reason", "ended, UTC", "name")
    yield Table.bounded("Runs that pushed nothing, the newest first", columns, rows)


def _blocked_by(report: RunReport) -> str:
    """Returns what ended a run without a push: a gate, a node, or infra validation."""
    if report.status == "failed":
        return report.failed_node or "–"
    if report.infra is not None and report.infra.problems:
        return "infra_validation"
    return report.skipped_by or "quality_gate"


def _versions(served: Mapping[str, tuple[Mapping[int, Manifest], Sequence[int]]]) -> Iterator[Block]:
    rows = []
    for name, (manifests, existing) in served.items():
        for version, manifest in reversed(list(manifests.items())):
            state = "serves" if existing and version == existing[-1] else "exists" if version in existing else "removed"
            auc = (manifest.metrics.candidate if manifest.metrics else {}).get("auc", math.nan)
            rows.append((
                f"{name} {version}", state, ", ".join(map(str, manifest.spans or ())) or "–",
                manifest.pushed_at or "–", numbers.metric(auc), note(manifest) or "–",
            ))  # fmt: skip
    if not rows:
        yield Note("Nothing was pushed yet.", "quiet")
        return
    columns = ("version", "state", "spans", "pushed", "#auc", "note")
    yield Table.bounded("Versions, the newest first", columns, rows)
