"""Days on a real Airflow, by the campaign's script: one after another by itself, each from the day before's model."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.soak import airflow

pytestmark = pytest.mark.slow

NUM_DAYS = 2


@pytest.mark.timeout(2400)
def test_two_days_by_themselves_with_a_task_killed_in_each(tmp_path: Path) -> None:
    """As `python -m tests.soak.airflow` runs three of them, and the page in a browser."""
    screenshot = tmp_path / "graph.png"
    days, found, _ = airflow.run(tmp_path, "3.3", NUM_DAYS, Console(), None, screenshot)
    assert found == []
    assert [(day.version, day.killed, day.tries) for day in days] == [
        (1, "transform", 2), (2, "trainer", 2),
    ]  # fmt: skip
    assert screenshot.stat().st_size > 10_000
