"""The playground in a real browser, in front of a model server with two versions of the small store's model."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.browser import new_browser, serious_faults
from tests.e2e import store
from tests.e2e.damage import change_variables
from tests.serving.ranking_client.running import model_server, ranking_service

pytestmark = pytest.mark.slow

CANDIDATES = [f"com.store.app{i}" for i in range(40)]


def other_sums(name: str, values: np.ndarray) -> np.ndarray:
    """The second version: the sums of `rank`'s contexts and items are negated, so that its order differs."""
    return -values if values.dtype == np.float32 and name.startswith("ranker/") else values


@pytest.fixture(scope="module")
def service(first_day: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("playground")
    pushed = first_day[0] / "serving" / store.NAME / "1"
    for version in ("1", "2"):
        shutil.copytree(pushed, folder / "models" / store.NAME / version)
        (folder / "models" / store.NAME / version / "assets.extra" / "manifest.json").unlink()
    change_variables(folder / "models" / store.NAME / "2", other_sums)
    options = ["--ui", "--examples", str(pushed), "--deadline-seconds", "20"]
    with (
        model_server(folder / "models", folder / "log", "--keep-versions", "2", start_seconds=300) as (address, _),
        ranking_service(address, store.NAME, folder / "service.log", *options) as url,
    ):
        end = time.monotonic() + 300
        while httpx.get(f"{url}/ui/start", timeout=30).json().get("versions") != [2, 1]:
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield url


@pytest.fixture(scope="module")
def requested() -> list[str]:
    """The addresses that the page has requested."""
    return []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with new_browser() as found:
        yield found


@contextlib.contextmanager
def opened(browser: Browser, url: str, requested: list[str]) -> Iterator[Page]:
    """Opens an address; what the page requests is appended to `requested`, and an error in its console fails."""
    found = browser.new_page(viewport={"width": 1440, "height": 900})
    problems: list[str] = []
    found.on("request", lambda request: requested.append(request.url))
    found.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.goto(url)
    yield found
    found.close()
    assert problems == []


@pytest.fixture
def page(browser: Browser, service: str, requested: list[str]) -> Iterator[Page]:
    with opened(browser, f"{service}/ui/", requested) as found:
        found.wait_for_selector("body[data-explained]")
        yield found


def shown(page: Page, version: int) -> list[str]:
    return [text.strip() for text in page.locator(f'section[data-version="{version}"] .id').all_text_contents()]


def edit(page: Page, fields: dict[str, str]) -> None:
    """Fills fields, and waits for the ranking that follows."""
    for selector, value in fields.items():
        page.fill(selector, value)
    edited = page.locator("body").get_attribute("data-edited")
    page.wait_for_selector(f'body[data-ranked="{edited}"][data-explained="{edited}"]')


def ranked(service: str, version: int, **context: Any) -> list[str]:
    """The order of the candidates by a direct call."""
    body = {"context": context, "candidates": CANDIDATES, "version": version}
    answer = httpx.post(f"{service}/ui/rank", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_changing_installed_apps_changes_the_order_as_the_model_says(page: Page, service: str) -> None:
    page.select_option("#first-version", "1")
    orders = []
    for apps in (["com.store.app1", "com.store.app2"], ["com.store.app30", "com.store.app7", "com.store.app11"]):
        edit(
            page,
            {
                "#candidates": "\n".join(CANDIDATES),
                "#shown": "40",
                '[data-feature="country"]': "us",
                '[data-feature="installed_apps"]': "\n".join(apps),
            },
        )
        orders.append(shown(page, 1))
        assert orders[-1] == ranked(service, 1, country="us", installed_apps=apps)
    assert orders[0] != orders[1]
    assert page.locator(".up, .down").count() > 0
    assert re.search(
        r"40 items ranked in \d+ ms; com\.store\.app\d+ is first by version 1\.", page.inner_text("#status")
    )


def test_two_versions_stand_side_by_side_and_say_why(page: Page, service: str) -> None:
    apps = ["com.store.app1", "com.store.app2"]
    page.select_option("#first-version", "1")
    page.select_option("#second-version", "2")
    edit(
        page,
        {
            "#candidates": "\n".join(CANDIDATES),
            "#shown": "40",
            '[data-feature="country"]': "us",
            '[data-feature="installed_apps"]': "\n".join(apps),
        },
    )
    expected = [ranked(service, version, country="us", installed_apps=apps) for version in (1, 2)]
    assert [shown(page, 1), shown(page, 2)] == expected
    assert expected[0] != expected[1]
    boxes = [page.locator(f'section[data-version="{version}"]').bounding_box() for version in (1, 2)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]
    why = page.locator('section[data-version="1"] details').first
    why.locator("summary").press("Enter")
    assert "Base rate" in why.inner_text()
    assert "gap of the integration" in why.inner_text()


def test_only_the_service_is_requested_and_text_from_data_stays_text(
    page: Page, service: str, requested: list[str]
) -> None:
    edit(page, {"#candidates": '<img src="http://192.0.2.1/x" onerror="alert(1)">\ncom.store.app1'})
    assert page.locator("#tables img").count() == 0
    assert '<img src="http://192.0.2.1/x"' in page.inner_text("#tables")
    assert requested
    assert all(url.startswith((f"{service}/ui/", "data:")) for url in requested)
    policy = httpx.get(f"{service}/ui/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_readable_and_accessible(page: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert serious_faults(page) == []


def test_the_openapi_page_needs_no_network(browser: Browser, service: str) -> None:
    requested: list[str] = []
    with opened(browser, f"{service}/docs", requested) as page:
        page.click("#operations-default-rank_rank_post .opblock-summary-control")
        page.wait_for_selector("text=Ranks one request's candidates.")
    assert requested
    assert all(url.startswith((f"{service}/", "data:")) for url in requested), requested


def test_without_the_flag_there_is_no_page(service: str, tmp_path: Path) -> None:
    with ranking_service("127.0.0.1:1", store.NAME, tmp_path / "log") as url:
        assert httpx.get(f"{url}/ui/").status_code == 404
