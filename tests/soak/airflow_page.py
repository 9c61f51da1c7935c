"""Reads Airflow's page of a run in a real browser."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import FloatRect, Page

from tests.browser import new_browser

#: Green in Pillow's HSV: a third of the hue circle, and neither grey nor black.
_HUE, _NEAR, _MIN_SATURATION, _MIN_VALUE = 85, 25, 100, 60

#: The minimum share of green pixels in the picture of a green node, from its frame and badge.
_MIN_GREEN = 0.01


#: How long a page may take to load, on a busy machine.
_PAGE_MILLISECONDS = 180_000

#: Airflow's states of a task.
_STATES = (
    "deferred", "failed", "queued", "removed", "restarting", "running", "scheduled", "skipped", "success",
    "up_for_reschedule", "up_for_retry", "upstream_failed",
)  # fmt: skip


@contextlib.contextmanager
def _new_page() -> Iterator[Page]:
    """Opens an empty page in a headless Chromium."""
    with new_browser() as browser:
        page = browser.new_page(viewport={"width": 2000, "height": 700})
        page.set_default_timeout(_PAGE_MILLISECONDS)
        yield page


def graph_of(address: str, dag: str, run_id: str, password: str | None, screenshot: Path) -> dict[str, str]:
    """Reads the graph of a run.

    Args:
      address: The address of Airflow's pages.
      dag: The DAG.
      run_id: The run.
      password: The password of Airflow 2's `admin`; None for Airflow 3, whose pages on loopback require none.
      screenshot: The file for a picture of the graph.

    Returns:
      The state of each node, by name, with ", not green" appended if it has another colour.
    """
    with _new_page() as page:
        if password is None:
            page.goto(f"{address}/dags/{dag}/runs/{urllib.parse.quote(run_id)}")
            page.click('button[aria-label^="Show Graph"]')
            page.click('[aria-label="Collapse Details Panel"]')
        else:
            page.goto(f"{address}/login/")
            page.fill("#username", "admin")
            page.fill("#password", password)
            page.click('input[type="submit"]')
            page.goto(f"{address}/dags/{dag}/grid?tab=graph&dag_run_id={urllib.parse.quote(run_id)}")
        page.wait_for_selector(".react-flow__node")
        page.wait_for_load_state("networkidle")
        page.click(".react-flow__controls-fitview")
        page.wait_for_timeout(1000)  # until the animated move has ended
        page.screenshot(path=screenshot)
        nodes = {
            str(node.get_attribute("data-id")): (_state(node.inner_text()), node.bounding_box())
            for node in page.locator(".react-flow__node").all()
        }
    hsv = np.asarray(Image.open(screenshot).convert("HSV"))
    return {name: state if _is_green(hsv, box) else f"{state}, not green" for name, (state, box) in nodes.items()}


def _state(text: str) -> str:
    """The state among a node's words, which are its name, its operator and its state."""
    return next((word for word in text.split() if word in _STATES), "no state")


def _is_green(hsv: np.ndarray, box: FloatRect | None) -> bool:
    """Whether a box of a picture, uint8 `[height, width, 3]`, contains enough green."""
    if box is None:
        return False
    left, top = int(box["x"]), int(box["y"])
    part = hsv[top : top + int(box["height"]), left : left + int(box["width"])].astype(int)
    hue, saturation, value = part[..., 0], part[..., 1], part[..., 2]
    green = (abs(hue - _HUE) < _NEAR) & (saturation > _MIN_SATURATION) & (value > _MIN_VALUE)
    return float(green.mean()) > _MIN_GREEN
