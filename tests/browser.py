"""A headless Chromium for tests and screenshots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

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
