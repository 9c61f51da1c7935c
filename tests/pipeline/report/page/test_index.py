"""The index of all runs: fourteen days, of which one was blocked and one was refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from components import storage
from components.infra_validation.verdict import Latency, Measurements, Verdict
from components.ingestion.counts import Counts
from components.model_store.manifest import Manifest, Metrics
from components.model_store.versions import add_version
from pipeline.report.page.index import render_index, write_index
from pipeline.report.page.render import chart_script
from pipeline.report.run_report import RunReport
from pipeline.workspace import Workspace
from tests.once import made_once
from tests.pipeline.report.console.summaries import trained
from tests.pipeline.report.page.page_elements import Elements
from tests.pipeline.report.run_results import run_result

BLOCKED, REFUSED = 9, 12


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "chart_script", chart_script)


def report_of(day: int, version: int | None) -> RunReport:
    """The report of a day, through the dataclasses that a run writes."""
    if day == BLOCKED:
        return RunReport.skipped(day, "data_gate", "a span must have at least 0.5 times the median number of examples")
    cost = Measurements(2.0, 3.0, 400.0, 50.0 + day, (Latency(200, 1, 2.0, 3.0 + day, 4.0),))
    return run_result(
        status="pushed" if version else "refused",
        span=day,
        spans=(day,),
        counts=Counts(span=day, read={"impressions": 1000 + day}, rejected={"impressions": {"bad_label": 10}}),
        metrics={"auc": 0.7 + day / 1000, "logloss": 0.3, "calibration": 1.0},
        baseline={} if day == 1 else {"auc": 0.7 + (day - 1) / 1000, "logloss": 0.31, "calibration": 1.01},
        training=trained(vocabulary_sizes={"app": 100 + day}),
        infra=Verdict((), cost),
        refusals=() if version else ("auc may be worse than the baseline's by at most 0.006",),
        version=version,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace of fourteen days, in which all but two pushed a version."""
    found = Workspace.at(tmp_path)
    root = str(found.serving("store"))
    version = 0
    for day in range(1, 15):
        is_pushed = day not in (BLOCKED, REFUSED)
        if is_pushed:
            version += 1
            manifest = Manifest(spans=(day,), run_id=f"run-{day:02d}", metrics=Metrics({"auc": 0.7 + day / 1000}))
            add_version(root, lambda folder: storage.write_text(f"{folder}/x", "x"), manifest)
        file = found.reports / f"run-{day:02d}.json"
        storage.write_text(str(file), report_of(day, version if is_pushed else None).to_json())
        os.utime(file, (1_767_225_600 + 86_400 * day,) * 2)
        file.with_suffix(".html").touch()
    return found


def test_it_shows_the_blocked_day_the_refusals_and_the_versions(workspace: Workspace, cache: Path) -> None:
    elements = Elements(render_index(workspace, cache))
    assert "data_gate" in elements.text["refusals"]
    assert "at least 0.5 times the median" in elements.text["refusals"]
    assert "worse than the baseline's by at most 0.006" in elements.text["refusals"]
    assert "Nothing was pushed in span 9, 12." in elements.text["metrics"]
    assert elements.text["runs"].count("pushed") >= 12
    assert "store 12" in elements.text["versions"]
    assert "0.7140" in elements.text["versions"]  # version 12 is of day 14
    assert "114" in elements.text["vocabularies"]
    assert "1,014" in elements.text["cost"]
    assert "17.0" in elements.text["cost"]  # the last day's latency
    links = [str(a["href"]) for tag, a in elements.tags if tag == "a" and str(a["href"]).startswith("run-")]
    assert links == [f"run-{day:02d}.html" for day in range(14, 0, -1)]  # the newest first


def test_runs_can_be_put_side_by_side(workspace: Workspace, cache: Path) -> None:
    page = render_index(workspace, cache)
    boxes = [a for tag, a in Elements(page).tags if tag == "input"]
    assert [box["value"] for box in boxes] == [str(number) for number in range(14)]
    assert boxes[0]["aria-label"] == "Compare the run run-14"
    (text,) = re.findall(r'<script type="application/json" id="runs-data">(.*?)</script>', page)
    data = json.loads(text)
    shown = {run["name"]: dict(zip(data["names"], run["values"], strict=True)) for run in data["runs"]}
    assert list(shown) == [f"run-{day:02d}" for day in range(14, 0, -1)]
    assert shown["run-14"]["auc"] == "0.7140"
    assert shown["run-14"]["latency"] == "p95 17.0 ms for 200 candidates"
    assert shown["run-09"]["latency"] == "–"
    assert (shown["run-12"]["status"], shown["run-14"]["status"]) == ("refused", "pushed, version 12")


def test_its_tables_by_span_begin_with_the_newest(tmp_path: Path, cache: Path) -> None:
    """A table has 60 rows at most: from the 61st night on, the last night would never be in it."""
    workspace = Workspace.at(tmp_path)
    for day in range(101, 162):
        storage.write_text(str(workspace.reports / f"run-{day}.json"), report_of(day, 1).to_json())
    page = render_index(workspace, cache)
    for what in ("auc", "Tokens", "Rows and cost"):
        table = page.split(f"<caption>{what} by span, the newest first</caption>")[1].split("</table>")[0]
        assert re.findall(r'<th scope="row">(\d+)</th>', table) == [str(day) for day in range(161, 101, -1)]


def test_the_runs_of_several_pipelines_are_not_mixed(workspace: Workspace, cache: Path) -> None:
    """Spans of two configs have the same numbers: the later run of a span is not another pipeline's last one."""

    def rows(page: str, caption: str) -> list[str]:
        table = page.split(f"<caption>{caption}</caption>")[1].split("</table>")[0]
        return re.findall(r'<th scope="row">(\d+)</th>', table)

    def write(pipeline: str, day: int) -> None:
        report = dataclasses.replace(report_of(day, 1), pipeline=pipeline)
        storage.write_text(str(workspace.reports / f"{pipeline}-{day}.json"), report.to_json())

    write("ads", 14)
    page = render_index(workspace, cache)  # the others' reports are of an earlier release
    assert rows(page, "auc by span, the newest first") == [str(day) for day in range(14, 0, -1)]
    assert '<th scope="col">pipeline</th>' not in page
    for day in (20, 21):
        write("books", day)
    page = render_index(workspace, cache)
    assert '<th scope="col">pipeline</th>' in page
    for caption in ("auc by span", "Tokens by span", "Rows and cost by span"):
        assert rows(page, f"ads: {caption}, the newest first") == ["14"]
        assert rows(page, f"books: {caption}, the newest first") == ["21", "20"]
        assert len(rows(page, f"runs of an earlier release: {caption}, the newest first")) in (13, 14)
    refusals = Elements(page).text["refusals"]
    assert "ads: Every run pushed its model." in refusals
    assert "runs of an earlier release: Runs that pushed nothing, the newest first" in refusals


def test_a_report_that_cannot_be_read_is_said_and_the_others_are_shown(workspace: Workspace, cache: Path) -> None:
    (workspace.reports / "run-03.json").write_text("{")
    elements = Elements(render_index(workspace, cache))
    assert "A report is left out: a run's report must be JSON" in elements.text["runs"]
    assert "run-04" in elements.text["runs"]


def test_a_workspace_without_runs_has_an_index(tmp_path: Path, cache: Path) -> None:
    path = write_index(Workspace.at(tmp_path), cache)
    assert path == tmp_path / "reports" / "index.html"
    text = Elements(path.read_text()).text
    assert "No run is on record." in text["runs"]
    assert "Nothing was pushed yet." in text["versions"]
