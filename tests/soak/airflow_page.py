"""What Airflow's page of a run shows, in a real browser."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import sync_playwright

from tests.debian import installed


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
      nodes: The names in the graph.
      states: The states of the run's tasks.
    """

    nodes: set[str]
    states: set[str]


@contextlib.contextmanager
def browser_page() -> Iterator[BrowserPage]:
    """An empty page in a headless Chromium."""
    arguments = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed("chromium", "chromium"), args=arguments, chromium_sandbox=False
        )
        try:
            yield browser.new_page(viewport={"width": 1800, "height": 1000})
        finally:
            browser.close()
