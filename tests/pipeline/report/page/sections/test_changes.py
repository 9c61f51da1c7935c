"""What changed since the last run, and the links between the pages of runs."""

from __future__ import annotations

import dataclasses
import datetime
import os
from pathlib import Path

from components import storage
from components.gate_records import Finding, GateRecord, Severity, write_record
from components.ingestion.counts import Counts
from pipeline.report.page.parts import Table
from pipeline.report.page.sections import changes
from pipeline.report.page.write import render_sections, write_page
from pipeline.report.records import Neighbours, Record, read_neighbours
from pipeline.report.result.run import Node, Output, Reading
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from tests.pipeline.report.console.summaries import trained
from tests.pipeline.report.page.page_elements import Elements
from tests.pipeline.report.run_results import ended, run_result

DRIFT = Finding("data", "drift.divergence_floor", "warn", "country", 0.2, 0.1, 20, "country has drifted")
UNJUDGED = dataclasses.replace(DRIFT, severity="cannot_judge", subject="price")


def record(run_id: str, report: RunReport) -> Record:
    return Record(run_id, datetime.datetime(2026, 1, 1, 3, 4, tzinfo=datetime.UTC), report, has_page=True)


def changed(report: RunReport, before: RunReport, config: dict[str, tuple[str, str]] | None = None) -> list[list[str]]:
    """The rows of the section on changes, each cell without the table's markup."""
    near = Neighbours(record("run-1", before), record("run-1", before))
    run = ended(report, near=near, config_changes=Reading(config))
    sections, _ = render_sections(run)
    (table,) = (b for s in sections if s.id == "changes" for b in s.blocks if isinstance(b, Table))
    return [[*row, tone] for row, tone in zip(table.rows, table.tones, strict=True)]


def test_what_changed_since_the_last_run_is_better_or_worse_beyond_chance() -> None:
    """A tenth, then a fifth of 1,000 examples have label 1: ± 1.96 √(0.09 / 1000 + 0.16 / 1000) are ± 3.10 points."""
    metrics = {"auc": 0.75, "logloss": 0.3, "calibration": 1.1}
    baseline = {"auc": 0.7, "logloss": 0.2, "calibration": 1.0}
    changes = {"auc": (0.01, 0.09), "logloss": (-0.01, 0.21), "calibration": (0.05, 0.15)}
    report = run_result(
        span=2, metrics=metrics, baseline=baseline, changes=changes, training=trained(vocabulary_sizes={"app": 110}),
        counts=Counts(span=2, read={"impressions": 900},
                      labels={"train": {"0": 700, "1": 150}, "eval": {"0": 100, "1": 50}}),
    )  # fmt: skip
    before = run_result(
        training=trained(vocabulary_sizes={"app": 100}), data_findings=(DRIFT, UNJUDGED),
        counts=Counts(span=1, read={"impressions": 1000}, labels={"train": {"0": 900, "1": 100}}),
    )  # fmt: skip
    rows = changed(report, before, {"training.batch_size": ("64", "128")})
    assert rows == [
        ["auc", "0.7000", "0.7500", "+0.0500 (+0.0100 to +0.0900)", "better", "good"],
        ["logloss", "0.2000", "0.3000", "+0.1000 (−0.0100 to +0.2100)", "no change beyond chance", ""],
        ["calibration", "1.0000", "1.1000", "+0.1000 (+0.0500 to +0.1500)", "worse", "bad"],
        ["impressions read", "1,000", "900", "−100 (−10.0 %)", "", ""],
        ["examples with label 1", "10.0 %", "20.0 %", "+10.00 ± 3.10 points", "higher", ""],
        ["config, training.batch_size", "64", "128", "", "changed", "warn"],
        ["vocabulary, app", "100", "110", "+10 (+10.0 %)", "", ""],
        ["training time", "2.0 s", "2.0 s", "", "", ""],
    ]
    assert ["config", "", "", "", "no key changed", ""] in changed(report, before, {})
    assert "not known: one of the runs ended before its push" in changed(report, before)[5]


def test_drifted_features_are_named_as_they_were_then_and_are_now(tmp_path: Path) -> None:
    cases: list[tuple[Severity, list[str]]] = [("warn", ["country", "warn"]), ("cannot_judge", ["none", "good"])]
    for severity, expected in cases:
        found = dataclasses.replace(DRIFT, severity=severity)
        write_record(str(tmp_path), GateRecord("data", 2, {}, (found, UNJUDGED)))
        made = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        node = Node("data_validation", "done", made, 3.0, (Output("GateRecord", str(tmp_path), 2),))
        run = ended(run_result(span=2), nodes=(node,), near=Neighbours(None, record("run-1", run_result())))
        (row,) = changes._data(run, run_result(data_findings=(UNJUDGED,)))
        assert (row[0], row[1], [row[2], row[5]]) == ("drifted features", "none", expected)


def test_a_page_links_the_runs_before_and_after(tmp_path: Path) -> None:
    """The page of the run before was written first; writing it again keeps its link."""
    workspace = Workspace.at(tmp_path)

    def write(span: int) -> str:
        report = run_result(span=span, pipeline="store")
        file = workspace.reports / f"run {span}.json"
        if not file.exists():
            storage.write_text(str(file), report.to_json())
            os.utime(file, (1_767_225_600 + span,) * 2)
        near = read_neighbours(workspace.reports, file.stem, "store")
        outcome = write_page(workspace, ended(report, run_id=file.stem, near=near))
        assert outcome.problems == ()
        return file.with_suffix(".html").read_text()

    def links(text: str) -> list[str]:
        found = [str(a["href"]) for tag, a in Elements(text).tags if tag == "a"]
        return [href for href in found if href.startswith("run") and href.endswith(".html")]

    assert links(write(1)) == []
    assert links(write(2)) == ["run%201.html"]
    write(3)
    (one, two, three) = ((workspace.reports / f"run {span}.html").read_text() for span in (1, 2, 3))
    assert [links(text) for text in (one, two, three)] == [
        ["run%202.html"],
        ["run%201.html", "run%203.html"],
        ["run%202.html"],
    ]
    assert links(write(2)) == ["run%201.html", "run%203.html"]
