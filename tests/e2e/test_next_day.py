"""The second day: warm-started from the first, and done once only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e import store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_days(first_day: tuple[Path, str], data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The first day's workspace after the second day."""
    workspace, _ = first_day
    return workspace, store.wdr_ok(*store.run_arguments(data, workspace, 2))


def test_the_second_day_starts_warm_and_is_held_against_the_first(two_days: tuple[Path, str]) -> None:
    workspace, output = two_days
    assert store.versions(workspace) == [1, 2]
    report = store.last_report(workspace)
    assert report["training"]["warm_started_from"] is not None
    assert set(report["baseline"]) == {"auc", "logloss", "calibration"}
    assert report["spans"] == [2, 1]  # the window
    kept = report["training"]["warm_start"]["tables"]
    assert all(table["kept"] > 0 for table in kept.values()), kept
    assert "warm, from" in output


def test_the_window_s_first_day_is_not_analysed_again(two_days: tuple[Path, str]) -> None:
    workspace, output = two_days
    assert "example_gen (span 1)" in store.cached(output)
    log = sorted((workspace / "logs").iterdir())[-1].read_text()
    assert "analyzer_cache" in log or "cache" in log


def test_the_same_day_again_does_nothing(two_days: tuple[Path, str], data: Path) -> None:
    workspace, _ = two_days
    output = store.wdr_ok(*store.run_arguments(data, workspace, 2))
    resolvers = {"span_window", "analyzer_cache", "last_pushed_model"}
    assert set(store.nodes(output)) - store.cached(output) == resolvers
    assert store.versions(workspace) == [1, 2]
    assert store.last_report(workspace)["version"] == 2


def test_a_rewritten_log_is_read_again(two_days: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    workspace, _ = two_days
    late = tmp_path / "data"
    shutil.copytree(data, late)
    path = late / "impressions" / "day-2" / "part-00000.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-100]))
    output = store.wdr_ok(*store.run_arguments(late, workspace, 2))
    assert "example_gen" not in store.cached(output)
    assert store.last_report(workspace)["counts"]["read"]["impressions"] == 3900
