"""Workers of `beam.num_workers`: forked, with the errors of each in one sentence, and gone with the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import apache_beam as beam
import pytest

from pipeline.beam_options import make_beam_args
from pipeline.beam_workers import forked
from pipeline.errors import LostWorkerError, WorkerError, first_line
from tests.e2e.day_files import wait_until
from tests.pipeline.work_of_pools import fail, note_modules, note_worker_and_wait, noted, wait_for_others
from tests.prism import has_ended
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
        assert not running.done(), running.exception()
        lost, other = noted(tmp_path)
        os.kill(lost, signal.SIGKILL)
        error = running.exception(timeout=60)
    assert isinstance(error, LostWorkerError)
    assert str(error) == (
        "a worker (`beam.num_workers`) ended before its work was done, or its connection broke; run the same command "
        "again to continue"
    )
    assert has_ended(other)


@pytest.mark.slow
def test_a_worker_that_ends_before_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    forked.prepare()
    monkeypatch.setattr(forked, "_work", _end)
    started = time.monotonic()
    with pytest.raises(
        LostWorkerError, match=r"a worker .* ended before it connected to 127\.0\.0\.1:\d+, as its log says"
    ):
        run(fail)
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_a_worker_takes_the_work_that_waits_while_another_is_busy(tmp_path: Path) -> None:
    with beam.Pipeline(argv=list(make_beam_args(Beam(num_workers=2)))) as pipeline:
        _ = pipeline | beam.Create(range(16)) | "Work" >> beam.Map(wait_for_others, str(tmp_path), 16)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(16))


def _end(*_: object) -> None:
    raise SystemExit(3)


@pytest.mark.slow
def test_an_error_names_the_key_of_the_config() -> None:
    with pytest.raises(WorkerError) as raised:
        run(fail)
    assert first_line(raised.value) == "ValueError: a price below 0 (at the worker of `beam.num_workers`)"


@pytest.mark.slow
def test_workers_end_with_a_node_that_is_killed(tmp_path: Path) -> None:
    code = f"""
from multiprocessing import util
from tests.pipeline.test_forked_workers import *
forked.prepare()
print(util.get_temp_dir(), flush=True)
run(note_worker_and_wait, {str(tmp_path)!r})
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        folder = Path(node.stdout.readline().strip())
        assert list(folder.glob("listener-*"))
        wait_until(lambda: node.poll() is not None or len(noted(tmp_path)) == 2)
        started = noted(tmp_path)
        assert len(started) == 2
        node.kill()
    wait_until(lambda: all(has_ended(pid) for pid in started))
    wait_until(lambda: not folder.exists())


@pytest.mark.slow
def test_the_process_that_forks_outlives_a_claim_and_workers_use_the_folder_of_the_next(tmp_path: Path) -> None:
    """A socket's path has at most 107 bytes: a workspace's may be longer."""
    roots = [tmp_path / f"{name:_<90}" for name in ("one", "two")]
    done = subprocess.run(
        [sys.executable, "-c", _TWO_CLAIMS, *map(str, roots)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for root in roots:
        assert {path.read_text() for path in (root / "noted").iterdir()} == {str(root / "tmp")}


_TWO_CLAIMS = """
import sys
from pathlib import Path
from pipeline.claim.lock import claimed
from pipeline.workspace import Workspace
from tests.pipeline.test_forked_workers import run
from tests.pipeline.work_of_pools import note_temporary_folder
for root in map(Path, sys.argv[1:]):
    (root / "noted").mkdir(parents=True)
    with claimed(Workspace.at(root)):
        run(note_temporary_folder, str(root / "noted"))
"""


@pytest.mark.slow
def test_a_worker_is_forked_with_all_that_it_imports(tmp_path: Path) -> None:
    process = forked._context().Process(target=note_modules, args=(str(tmp_path),))
    process.start()
    process.join()
    assert set(forked.IMPORTED) <= set((tmp_path / "modules").read_text().splitlines())


def _no_answer(_: object) -> None:
    raise EOFError("unexpected EOF")


def test_a_worker_that_cannot_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`multiprocessing` reads no answer where the process that forks has ended."""
    monkeypatch.setattr(ForkServerProcess, "_Popen", staticmethod(_no_answer))
    with pytest.raises(LostWorkerError) as raised:
        forked.ForkedPlace().start("1", "localhost:1")
    assert str(raised.value) == (
        "a worker (`beam.num_workers`) could not be started; once it can, run the same command again to continue "
        "(OSError: the process that forks ended, as where memory or processes run out)"
    )
