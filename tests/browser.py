"""A headless Chromium for tests and screenshots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.debian import installed


@contextlib.contextmanager
def new_browser() -> Iterator[Browser]:
    """Starts a browser that does nothing by itself."""
    arguments = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed("chromium", "chromium"), args=arguments, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()


def serious_faults(page: Page) -> list[tuple[str, str]]:
    """The faults that axe finds and calls serious or critical: the rule, and the first element that breaks it."""
    faults = Axe().run(page).response["violations"]
    return [(f["id"], f["nodes"][0]["html"][:200]) for f in faults if f["impact"] in ("serious", "critical")]
