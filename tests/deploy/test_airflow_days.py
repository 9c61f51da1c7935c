"""One day on a real Airflow, by the soak test's script, which also runs several consecutive days."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.deploy.airflow_environment import environment
from tests.e2e import shared
from tests.soak import airflow

pytestmark = pytest.mark.slow

AIRFLOW = "3.3"


@pytest.mark.timeout(2400)
def test_a_day_of_grouped_nodes_with_a_task_killed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`python -m tests.soak.airflow` runs three days, each from the previous day's model, with a task for each node."""
    by_run, _ = shared.first_day(tmp_path_factory)
    home = tmp_path / "airflow" / AIRFLOW
    home.mkdir(parents=True)
    (home / "environment").symlink_to(environment(tmp_path_factory, AIRFLOW))
    screenshot = tmp_path / "graph.png"
    (day,), found, _ = airflow.run(tmp_path, AIRFLOW, 1, Console(), None, screenshot, by_run, group=True)
    assert found == []
    assert (day.version, day.killed, day.tries) == (1, "transform", 2)
    assert screenshot.stat().st_size > 10_000
