"""Workers of `beam.num_workers`: forked, with the errors of each in one sentence, and gone with the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import apache_beam as beam
import psutil
import pytest

from pipeline.beam_options import make_beam_args
from pipeline.beam_workers import forked
from pipeline.errors import LostWorkerError, WorkerError, first_line
from tests.e2e.day_files import wait_until
from tests.pipeline.work_of_pools import fail, note_worker_and_wait, noted
from transform.config.beam import Beam

ROOT = Path(__file__).parents[2]


def run(function: object, *arguments: object) -> None:
    """Runs a function of each of 40 numbers on two workers."""
    with beam.Pipeline(argv=list(make_beam_args(Beam(num_workers=2)))) as pipeline:
        _ = pipeline | beam.Create(range(40)) | beam.Reshuffle() | "Work" >> beam.Map(function, *arguments)


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_and_the_other_worker(tmp_path: Path) -> None:
    with futures.ThreadPoolExecutor(1) as executor:
        running = executor.submit(run, note_worker_and_wait, str(tmp_path))
        wait_until(lambda: running.done() or len(noted(tmp_path)) == 2)
        lost, other = noted(tmp_path)
        os.kill(lost, signal.SIGKILL)
        error = running.exception(timeout=60)
    assert isinstance(error, LostWorkerError)
    assert str(error) == (
        "a worker (`beam.num_workers`) ended before its work was done, or its connection broke; run the same command "
        "again to continue"
    )
    assert not psutil.pid_exists(other)


@pytest.mark.slow
def test_a_worker_that_ends_before_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "_work", _end)
    started = time.monotonic()
    with pytest.raises(
        LostWorkerError, match=r"a worker .* ended before it connected to 127\.0\.0\.1:\d+, as its log says"
    ):
        run(fail)
    assert time.monotonic() - started < 60


def _end(*_: object) -> None:
    raise SystemExit(3)


@pytest.mark.slow
def test_an_error_names_the_key_of_the_config() -> None:
    with pytest.raises(WorkerError) as raised:
        run(fail)
    assert first_line(raised.value) == "ValueError: a price below 0 (at the worker of `beam.num_workers`)"


@pytest.mark.slow
def test_workers_end_with_a_node_that_is_killed(tmp_path: Path) -> None:
    code = f"from tests.pipeline.test_forked_workers import *; run(note_worker_and_wait, {str(tmp_path)!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as node:
        wait_until(lambda: node.poll() is not None or len(noted(tmp_path)) == 2)
        started = noted(tmp_path)
        assert len(started) == 2
        node.kill()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in started))
