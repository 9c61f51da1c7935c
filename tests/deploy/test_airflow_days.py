"""A day on a real Airflow, by the campaign's script, which also runs days one after another."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.soak import airflow

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_a_day_by_itself_with_a_task_killed(tmp_path: Path) -> None:
    """As `python -m tests.soak.airflow` runs three of them, each from the day before's model; the page in a browser."""
    screenshot = tmp_path / "graph.png"
    (day,), found, _ = airflow.run(tmp_path, "3.3", 1, Console(), None, screenshot)
    assert found == []
    assert (day.version, day.killed, day.tries) == (1, "transform", 2)
    assert screenshot.stat().st_size > 10_000
