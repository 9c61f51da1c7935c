"""The page of a run, written by `wdr run`, and the index of all runs, in a real browser, opened from disk."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from components import storage
from components.quality_gate.inputs import AucFalls
from pipeline.report.page.write import write_page
from pipeline.report.records import read_neighbours
from pipeline.report.result.run import Reading
from pipeline.workspace import Workspace
from tests.browser import new_browser, serious_faults
from tests.e2e.bad_store import ok_in_process
from tests.e2e.own_copy import own_copy_of
from tests.pipeline.report.run_results import ended, run_result

pytestmark = pytest.mark.slow

#: Where a reader sees a page: the width in pixels, and the colour scheme.
PLACES = [(1440, "light"), (390, "light"), (1440, "dark"), (390, "dark")]


#: The height of a reader's screen, in pixels.
SCREEN = 900


@dataclasses.dataclass
class Opened:
    """A page in the browser, with what it has logged and fetched."""

    page: Page
    messages: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with new_browser() as found:
        yield found


def opened(browser: Browser, file: Path, width: int = 1440, scheme: Any = "light") -> Opened:
    """Opens a page from disk and waits until its charts are drawn."""
    found = Opened(browser.new_page(viewport={"width": width, "height": SCREEN}, color_scheme=scheme), [], [])
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.goto(file.as_uri())
    assert found.page.evaluate("window.drawn") is True
    return found


def page_of_run(workspace: Path) -> Path:
    (report,) = (workspace / "reports").glob("*.json")
    return report.with_suffix(".html")


@pytest.mark.parametrize(("width", "scheme"), PLACES)
@pytest.mark.parametrize("name", ["run", "index"])
def test_it_is_complete_and_accessible_from_disk(
    first_day: tuple[Path, str], browser: Browser, name: str, width: int, scheme: str
) -> None:
    workspace, _ = first_day
    file = page_of_run(workspace) if name == "run" else workspace / "reports" / "index.html"
    found = opened(browser, file, width, scheme)
    page = found.page
    assert (found.messages, found.requests) == ([], [file.as_uri()])
    for section in page.locator("main > section").all():
        assert section.locator("h2").count() == 1
        text = section.inner_text().removeprefix(section.locator("h2").inner_text()).strip()
        assert text, section.get_attribute("id")
    if width == 1440:
        assert page.evaluate("document.documentElement.scrollHeight") <= 12 * SCREEN
    else:
        assert page.evaluate("document.documentElement.scrollHeight") <= 10 * SCREEN
    page.evaluate("document.querySelectorAll('.fold, .part').forEach((fold) => { fold.open = true; })")
    page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")
    charts = page.locator(".chart")
    assert charts.count() > 0
    assert page.locator(".chart svg").count() == charts.count()
    boxes = [chart.bounding_box() for chart in charts.all()]
    assert all(box is not None and 200 < box["width"] <= width and box["height"] > 60 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    if width < 400:  # nothing is cut off: a table that is too wide is folded into blocks
        cut = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert page.evaluate(cut) == 0
    assert serious_faults(page) == []
    page.close()


@pytest.mark.parametrize(("width", "screens"), [(1440, 1), (390, 2)])
def test_the_verdict_the_reason_and_the_next_step_are_seen_first(
    first_day: tuple[Path, str], browser: Browser, width: int, screens: int
) -> None:
    page = opened(browser, page_of_run(first_day[0]), width).page
    questions = page.locator("#verdict h3")
    assert questions.all_inner_texts() == ["Is the model any good?", "Why", "What to do next"]
    command = page.locator("#verdict .command")
    box = command.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= screens * SCREEN
    page.close()


@pytest.mark.parametrize(("width", "scheme"), PLACES)
def test_what_changed_is_in_colour_and_the_runs_are_linked_and_compared(
    tmp_path: Path, browser: Browser, width: int, scheme: str
) -> None:
    """Of three runs, the one in the middle is better than the baseline, and its calibration is worse."""
    workspace = Workspace.at(tmp_path)
    for span in (1, 2, 3):
        falls = AucFalls(20, 0.75, {"app": 0.1, "country": 0.01}, errors={"app": 0.02})
        report = run_result(
            span=span, pipeline="store", auc_falls=falls,
            metrics={"auc": 0.75, "calibration": 1.1}, baseline={"auc": 0.7, "calibration": 1.0},
            changes={"auc": (0.01, 0.09), "calibration": (0.05, 0.15)},
        )  # fmt: skip
        file = workspace.reports / f"run-{span}.json"
        storage.write_text(str(file), report.to_json())
        os.utime(file, (1_767_225_600 + span,) * 2)
        near = read_neighbours(workspace.reports, file.stem, "store")
        run = ended(report, run_id=file.stem, near=near, config_changes=Reading({"training.batch_size": ("64", "128")}))
        write_page(workspace, run)
    page = opened(browser, workspace.reports / "run-2.html", width, scheme).page
    badges = page.locator("#changes .badge.cell")
    assert [text.lower() for text in badges.all_inner_texts()] == ["better", "worse", "changed"]
    colours = [badge.evaluate("badge => getComputedStyle(badge).color") for badge in badges.all()]
    assert len(set(colours)) == 3
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert serious_faults(page) == []
    for words, name in (("before", "run-1"), ("after", "run-3")):
        page.click(f"text=The run {words}")
        page.wait_for_url(f"**/{name}.html")
        page.go_back()
    page.close()
    index = opened(browser, workspace.reports / "index.html", width, scheme).page
    compared = index.locator("#compared")
    for name, is_shown in (("run-3", False), ("run-1", True)):
        index.check(f"[aria-label='Compare the run {name}']")
        assert compared.is_visible() is is_shown
    assert compared.locator("thead th").all_inner_texts() == ["run", "run-1", "run-3"]
    rows = {row.locator("th").inner_text(): row for row in compared.locator("tbody tr").all()}
    assert rows["span"].locator("td").all_inner_texts() == ["1", "3"]
    assert [rows[name].get_attribute("class") for name in ("span", "auc")] == [None, "same"]
    assert index.evaluate("document.documentElement.scrollWidth") == width
    assert serious_faults(index) == []
    index.close()


def test_the_charts_follow_the_colours(first_day: tuple[Path, str], browser: Browser) -> None:
    page = opened(browser, page_of_run(first_day[0])).page
    colour = "getComputedStyle(document.querySelector('.chart svg text')).fill"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    deadline = time.monotonic() + 30  # the page draws again once it has been told of the change
    while page.evaluate(colour) == light:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.close()


def test_what_a_phone_folds_is_a_tap_away(first_day: tuple[Path, str], browser: Browser) -> None:
    """Sentences and the verdict are shown at once; a wider screen never folds, nor after it was narrow."""
    page = opened(browser, page_of_run(first_day[0]), 390).page
    chart = page.locator("#scores .chart").first
    assert not chart.is_visible()
    assert page.locator("#changes table, #changes .note").first.is_visible()
    page.locator("#scores .part > summary").first.click()
    page.wait_for_function("document.querySelector('#scores .chart svg')")
    assert chart.is_visible()
    page.set_viewport_size({"width": 1440, "height": SCREEN})
    assert page.locator("#importance .part > summary").first.is_visible()  # so that what is closed can be opened
    page.close()
    wide = opened(browser, page_of_run(first_day[0])).page
    assert wide.locator(".part > summary:visible").count() == 0
    assert wide.locator("#scores .chart svg").first.is_visible()
    wide.close()


def test_it_is_read_with_the_keyboard(first_day: tuple[Path, str], browser: Browser) -> None:
    page = opened(browser, page_of_run(first_day[0])).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the contents"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(200):  # on to the first chart's data
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open") is True
    page.close()


def test_the_summary_says_where_it_is(first_day: tuple[Path, str]) -> None:
    workspace, output = first_day
    assert str(page_of_run(workspace)) in "".join(output.split())  # a long path is folded


def test_report_writes_it_again(first_day: tuple[Path, str], tmp_path: Path) -> None:
    """The copy's artifacts are its own: the page is made from ML Metadata, the artifacts and the report."""
    workspace = own_copy_of(first_day[0], tmp_path / "workspace")
    page = page_of_run(workspace)
    before = page.read_text()
    page.unlink()
    (workspace / "reports" / "index.html").unlink()
    output = ok_in_process("report", "--workspace", workspace)
    assert output.split() == [str(page)]
    assert _without_places(page.read_text(), workspace) == _without_places(before, first_day[0])
    assert (workspace / "reports" / "index.html").exists()
    card = page.with_suffix(".model_card.md").read_text()
    metrics = json.loads(page.with_suffix(".json").read_text())["metrics"]
    assert f"| auc | {metrics['auc']:.4f} |" in card


def _without_places(text: str, workspace: Path) -> str:
    return text.replace(str(workspace), "")
