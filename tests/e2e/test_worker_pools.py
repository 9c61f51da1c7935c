"""A day on workers of two pools: as in memory, after a pool that was away and a worker that was killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from components.evaluation.metrics_files import read_measured
from tests.contents import contents
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.e2e.day_files import evaluated, has_read_rows, only, transformed, wait_until
from tests.prism import free_port, worker_pool
from tests.soak.remains import remains
from tests.soak.same_days import differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AGAIN = "run the same command again to continue"


@dataclasses.dataclass(frozen=True)
class Day:
    """The first day on two pools: once with one of them away, once with its worker killed, once to the end.

    Attributes:
      workspace: Its workspace.
      address: The address of that pool.
      away: The last line of standard error of the run without the pool.
      away_seconds: The time that this run took.
      killed: The last line of standard error of the run whose worker was killed.
      killed_seconds: The time from the kill to this run's end.
      output: What the last run printed.
    """

    workspace: Path
    address: str
    away: str
    away_seconds: float
    killed: str
    killed_seconds: float
    output: str


@pytest.fixture(scope="module")
def day(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("pools")
    workspace, config, port = folder / "workspace", folder / "store.yaml", free_port()
    with worker_pool() as pool:
        address = f"127.0.0.2:{port}"
        workers = f"beam:\n  workers: ['127.0.0.1:{pool.port}', '{address}']\n"
        config.write_text(f"{store.CONFIG.read_text()}\n{workers}")
        arguments = store.run_arguments(data, workspace, 1, config)
        started = time.monotonic()
        done = store.wdr(*arguments)
        away, away_seconds = _last_line(done.stderr, done.returncode), time.monotonic() - started
        with worker_pool(port) as other, (folder / "err").open("w+") as err:
            process = subprocess.Popen(store.command(*arguments), cwd=store.ROOT, stdout=subprocess.DEVNULL, stderr=err)
            try:
                wait_until(lambda: process.poll() is not None or (has_read_rows(workspace) and other.workers()))
                (worker,) = other.workers()
                os.kill(worker, signal.SIGKILL)
                started = time.monotonic()
                code = process.wait(timeout=300)
            finally:
                process.kill()
            killed_seconds = time.monotonic() - started
            killed = _last_line((folder / "err").read_text(), code)
            output = ok_in_process(*arguments)
    return Day(workspace, address, away, away_seconds, killed, killed_seconds, output)


def _last_line(errors: str, code: int) -> str:
    assert code == 1, errors
    return errors.splitlines()[-1]


def test_a_pool_that_is_not_there_is_named(day: Day) -> None:
    words = f"error: example_gen failed: the pool of workers at {day.address} (`beam.workers`) cannot be reached; "
    assert day.away.startswith(words)
    assert day.away_seconds < 60


def test_a_killed_worker_is_named(day: Day) -> None:
    reason = (
        f"the worker of the pool at {day.address} (`beam.workers`) ended before its work was done, or its connection "
        f"broke; once the pool runs, {AGAIN}"
    )
    assert day.killed.startswith(f"error: example_gen failed: {reason} (log: ")
    assert day.killed_seconds < 60
    reports = [json.loads(path.read_text()) for path in sorted((day.workspace / "reports").glob("*.json"))]
    assert [report["status"] for report in reports[:2]] == ["failed", "failed"]
    assert reports[1]["reason"] == reason


def test_the_same_command_then_completes(day: Day) -> None:
    assert store.cached(day.output) == set()
    assert store.versions(day.workspace) == [1]
    assert remains(day.workspace) == []


def test_the_day_is_as_in_memory(day: Day, first_day: tuple[Path, str]) -> None:
    expected = first_day[0]
    for output in ("examples", "catalog", "quarantine"):
        of_one_process = contents(only(expected, "example_gen", output))
        assert contents(only(day.workspace, "example_gen", output)) == of_one_process
        assert of_one_process
    rows = transformed(expected)
    assert transformed(day.workspace) == rows
    assert differences(1, expected, day.workspace) == []


def test_a_model_s_metrics_are_as_in_memory(day: Day, tmp_path: Path) -> None:
    """The model is the same: two trainings need not end with the same bits."""
    on_pools = only(day.workspace, "evaluator", "evaluation")
    expected, found = (read_measured(str(each)) for each in (evaluated(day.workspace, on_pools, tmp_path), on_pools))
    assert found.keys() == expected.keys() == {""}
    assert found[""].metrics == pytest.approx(expected[""].metrics, rel=0, abs=1e-9)
    assert len(found[""].metrics) > 10
