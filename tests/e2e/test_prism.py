"""A day on Prism with a pool of external workers: as in memory, although its worker was killed; failures are named."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from components.evaluation.metrics_files import read_measured
from pipeline.outages import outage
from pipeline.workspace import Workspace
from tests import prism
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.logs import store_config, write_store
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.e2e.day_files import evaluated, files, has_read_rows, only, transformed, wait_until
from tests.soak.remains import remains
from tests.soak.same_days import differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # Go builds Prism in minutes where its cache is cold

AGAIN = "run the same command again to continue"
LOST_WORKER = (
    "a worker of the Beam job ended before its work was done, or never connected; once the pool of workers "
    f"(`--environment_config`) runs, {AGAIN} (RuntimeError: Pipeline job-"
)


@dataclasses.dataclass(frozen=True)
class Day:
    """The first day on Prism, whose worker was killed once.

    Attributes:
      workspace: Its workspace.
      code: The exit code of the run whose worker was killed.
      errors: The last line of its standard error.
      seconds: The time from the kill to the run's end.
      output: What the same command printed with a new pool.
    """

    workspace: Path
    code: int
    errors: str
    seconds: float
    output: str


@pytest.fixture(scope="module")
def job_port() -> Iterator[int]:
    with prism.prism() as port:
        yield port


@pytest.fixture(scope="module")
def day(job_port: int, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("prism")
    workspace = folder / "workspace"
    with prism.worker_pool() as pool:
        options = [f"--beam-arg={arg}" for arg in prism.beam_args(job_port, pool.port, "--job_server_timeout=3600")]
        arguments = [*store.run_arguments(data, workspace, 1), *options]
        with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
            process = subprocess.Popen(store.command(*arguments), cwd=store.ROOT, stdout=out, stderr=err)
            try:
                wait_until(lambda: process.poll() is not None or has_read_rows(workspace))
                (worker,) = pool.workers()
                os.kill(worker, signal.SIGKILL)
                started = time.monotonic()
                code = process.wait(timeout=300)
            finally:
                process.kill()
        seconds = time.monotonic() - started
    with prism.worker_pool(pool.port):
        output = ok_in_process(*arguments)
    return Day(workspace, code, (folder / "err").read_text().splitlines()[-1], seconds, output)


def test_a_node_whose_worker_is_killed_fails_in_words(day: Day) -> None:
    assert day.code == 1
    assert day.errors.startswith(f"error: example_gen failed: {LOST_WORKER}")
    assert day.seconds < 60
    first, *_ = sorted((day.workspace / "reports").glob("*.json"))
    report = json.loads(first.read_text())
    assert (report["status"], report["failed_node"]) == ("failed", "example_gen")
    assert report["reason"].startswith(LOST_WORKER)


def test_the_same_command_then_completes(day: Day) -> None:
    assert store.cached(day.output) == set()
    assert store.versions(day.workspace) == [1]
    assert remains(day.workspace) == []


def test_the_day_is_as_in_memory(day: Day, first_day: tuple[Path, str]) -> None:
    expected = first_day[0]
    ingested = files(expected, "example_gen")
    assert files(day.workspace, "example_gen") == ingested
    assert {path.split("/")[0] for path in ingested} == {"catalog", "examples", "quarantine"}
    rows = transformed(expected)
    assert transformed(day.workspace) == rows
    assert {split: len(found) for split, found in rows.items()} == {"eval": 801, "train": 3041}
    assert differences(1, expected, day.workspace) == []  # vocabularies and boundaries among others


def test_a_model_s_metrics_are_as_in_memory(day: Day, tmp_path: Path) -> None:
    """The model is the same: two trainings need not end with the same bits."""
    on_prism = only(day.workspace, "evaluator", "evaluation")
    in_memory = evaluated(day.workspace, on_prism, tmp_path)
    expected, found = (read_measured(str(folder)) for folder in (in_memory, on_prism))
    assert found.keys() == expected.keys() == {""}
    assert found[""].metrics == pytest.approx(expected[""].metrics, rel=0, abs=1e-6)
    assert found[""].errors == pytest.approx(expected[""].errors, rel=0, abs=1e-6)
    assert len(found[""].metrics) > 10


def ingestion_error(folder: Path, *beam_args: str) -> Exception:
    """Ingests a small store; returns the error that Beam's client raises."""
    write_store(folder / "data", "csv")
    with pytest.raises((RuntimeError, grpc.RpcError, grpc.FutureTimeoutError)) as raised:
        ingest(store_config("csv"), folder / "data", folder / "out", list(beam_args))
    error: Exception = raised.value
    return error


def test_a_worker_that_no_longer_answers_is_given_up(job_port: int, tmp_path: Path) -> None:
    with prism.worker_pool() as pool:
        args = prism.beam_args(job_port, pool.port, "--job_server_timeout=5")
        stopped = []

        def stop() -> None:
            wait_until(pool.workers)
            stopped.extend(pool.workers())
            os.kill(stopped[0], signal.SIGSTOP)

        stopper = threading.Thread(target=stop)
        stopper.start()
        started = time.monotonic()
        error = ingestion_error(tmp_path, *args)
        stopper.join()
        assert time.monotonic() - started < 60
        assert pool.workers() == stopped
    assert outage(error, Workspace.at(tmp_path)) == (
        "the Beam job did not end within `--job_server_timeout`, 300 seconds if it is not given: a worker no longer "
        f"answers, or the job needs longer; once the workers run, or with a higher value, {AGAIN}"
    )


def test_prism_ends_without_a_pool(tmp_path: Path) -> None:
    with prism.prism() as port:
        error = ingestion_error(tmp_path, *prism.beam_args(port, prism.free_port()))
    reported = outage(error, Workspace.at(tmp_path))
    assert reported is not None
    assert reported.startswith(
        "Beam's job server (`--job_endpoint`) ended, or cannot be reached; Prism ends if no pool of workers "
        f"(`--environment_config`) answers; once both run, {AGAIN} (UNAVAILABLE: "
    )


def test_no_prism(tmp_path: Path) -> None:
    args = prism.beam_args(prism.free_port(), prism.free_port(), "--job_server_timeout=1")
    assert outage(ingestion_error(tmp_path, *args), Workspace.at(tmp_path)) == (
        "Beam's job server (`--job_endpoint`) did not answer within `--job_server_timeout`, 300 seconds if it is not "
        f"given; once it runs, {AGAIN}"
    )
