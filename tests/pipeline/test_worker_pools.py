"""Beam's runner over pools of workers: they share the work, and a failure is one sentence with the address."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import apache_beam as beam
import psutil
import pytest

from pipeline.beam_options import make_beam_args
from pipeline.beam_workers import pools as pools_module
from pipeline.beam_workers import runner
from pipeline.beam_workers.pools import own_host
from pipeline.errors import LostWorkerError, WorkerError, first_line, sentence
from pipeline.outages import outage
from pipeline.workspace import Workspace
from tests.e2e.day_files import wait_until
from tests.pipeline.work_of_pools import fail_in, note_pool, note_pool_and_wait, note_worker_and_wait, noted
from tests.prism import Pool, free_port, has_ended, worker_pool
from transform.config.beam import Beam

AGAIN = "run the same command again to continue"


def run(addresses: Sequence[str], function: Callable[..., Any], *arguments: object) -> None:
    """Runs a function of each of 40 numbers, and of arguments, on workers of pools."""
    with beam.Pipeline(argv=list(make_beam_args(Beam(workers=tuple(addresses))))) as pipeline:
        _ = pipeline | beam.Create(range(40)) | beam.Reshuffle() | "Work" >> beam.Map(function, *arguments)


def listening() -> set[tuple[str, int]]:
    """Returns the addresses at which this process listens."""
    found = psutil.Process().net_connections(kind="tcp")
    return {(each.laddr.ip, each.laddr.port) for each in found if each.status == psutil.CONN_LISTEN}


def addresses_of(*pools: Pool) -> list[str]:
    return [f"127.0.0.{host}:{pool.port}" for host, pool in enumerate(pools, start=1)]


def reported(error: Exception, folder: Path) -> str | None:
    return outage(error, Workspace.at(folder))


def test_the_address_on_the_way_to_a_pool() -> None:
    assert own_host(["127.0.0.1:50000"]) == "127.0.0.1"
    assert own_host(["127.0.0.2:50000", "127.0.0.1:1"]) in {"127.0.0.1", "127.0.0.2"}
    others = [
        each.address
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family.name == "AF_INET" and not each.address.startswith("127.")
    ]
    if not others:
        pytest.skip("the machine has no address but loopback's")
    assert own_host(["127.0.0.1:50000", f"{others[0]}:50000"]) == others[0]


def test_a_host_without_an_address(tmp_path: Path) -> None:
    with pytest.raises(LostWorkerError) as raised:
        run(["no-such-host.invalid:50000"], note_pool, str(tmp_path))
    words = "the pool of workers at no-such-host.invalid:50000 (`beam.workers`) cannot be reached; once it runs, "
    assert (reported(raised.value, tmp_path) or "").startswith(f"{words}{AGAIN} (gaierror: ")


def test_a_pool_that_is_not_there(tmp_path: Path) -> None:
    address, before = f"127.0.0.2:{free_port()}", listening()
    started = time.monotonic()
    with pytest.raises(LostWorkerError) as raised:
        run([address], note_pool, str(tmp_path))
    assert time.monotonic() - started < 30
    words = f"the pool of workers at {address} (`beam.workers`) cannot be reached; once it runs, {AGAIN} (UNAVAILABLE: "
    assert (reported(raised.value, tmp_path) or "").startswith(words)
    assert listening() == before


def test_an_error_of_a_worker_names_its_address(tmp_path: Path) -> None:
    report = 'Traceback (most recent call last):\n  File "a.py"\n'
    error = WorkerError("beam-b:50000", f"{report}ValueError: a price below 0 [while running 'Work']\n")
    assert reported(error, tmp_path) is None
    assert first_line(error) == "ValueError: a price below 0 (at the worker of beam-b:50000)"
    assert "(at the worker of beam-b:50000)" in sentence(error)
    unreadable = f"{report}transform.errors.UnreadableError: the file cannot be read (a.csv) [while running 'Read']"
    found = reported(WorkerError("beam-b:50000", unreadable), tmp_path)
    assert found == "the file cannot be read (a.csv) (at the worker of beam-b:50000)"


@pytest.fixture(scope="module")
def pools() -> Iterator[tuple[Pool, Pool]]:
    with worker_pool() as one, worker_pool() as other:
        yield one, other


@pytest.mark.slow
def test_pools_have_even_shares_and_all_ports_are_of_loopback(pools: tuple[Pool, Pool], tmp_path: Path) -> None:
    before = listening()
    with futures.ThreadPoolExecutor(1) as executor:
        running = executor.submit(run, addresses_of(*pools), note_pool_and_wait, str(tmp_path))
        wait_until(lambda: running.done() or len(noted(tmp_path)) == 2)
        (opened,) = listening() - before
        assert [len(pool.workers()) for pool in pools] == [1, 1]
        (tmp_path / "go").touch()
        running.result()
    assert opened[0].removeprefix("::ffff:") == "127.0.0.1"
    assert noted(tmp_path) == {pool.pid: 20 for pool in pools}
    assert listening() == before
    assert [pool.workers() for pool in pools] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "within"), [(signal.SIGKILL, 20), (signal.SIGSTOP, 60)], ids=["killed", "stopped"])
def test_a_lost_worker(pools: tuple[Pool, Pool], tmp_path: Path, sign: signal.Signals, within: float) -> None:
    """The worker of the other pool is at work and would not end."""
    addresses = addresses_of(*pools)
    with futures.ThreadPoolExecutor(1) as executor:
        running = executor.submit(run, addresses, note_pool_and_wait, str(tmp_path))
        wait_until(lambda: running.done() or len(noted(tmp_path)) == 2)
        (lost,) = pools[1].workers()
        os.kill(lost, sign)
        started = time.monotonic()
        error = running.exception(timeout=120)
    assert time.monotonic() - started < within
    assert isinstance(error, LostWorkerError)
    assert reported(error, tmp_path) == (
        f"the worker of the pool at {addresses[1]} (`beam.workers`) ended before its work was done, or its connection "
        f"broke; once the pool runs, {AGAIN}"
    )
    assert [pool.workers() for pool in pools] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_on_one_worker_ends_the_job(pools: tuple[Pool, Pool], tmp_path: Path, failing: int) -> None:
    """The worker of the other pool is at work and would not end."""
    addresses = addresses_of(*pools)
    started = time.monotonic()
    with pytest.raises(WorkerError) as raised:
        run(addresses, fail_in, str(tmp_path), pools[failing].pid)
    assert time.monotonic() - started < 60
    assert first_line(raised.value) == f"ValueError: a price below 0 (at the worker of {addresses[failing]})"
    assert [pool.workers() for pool in pools] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told to end", "killed"])
def test_a_pool_ends_with_its_worker_at_work(tmp_path: Path, number: signal.Signals) -> None:
    with worker_pool() as pool, futures.ThreadPoolExecutor(1) as executor:
        running = executor.submit(run, [f"127.0.0.1:{pool.port}"], note_worker_and_wait, str(tmp_path))
        wait_until(lambda: running.done() or noted(tmp_path))
        (worker,) = pool.workers()
        os.kill(pool.pid, number)
        error = running.exception(timeout=60)
        wait_until(lambda: has_ended(pool.pid))
    assert isinstance(error, LostWorkerError)
    assert str(error).startswith(f"the worker of the pool at 127.0.0.1:{pool.port} (`beam.workers`) ended before")
    assert has_ended(worker)


@pytest.mark.slow
def test_a_pool_that_has_imported_other_code(
    pools: tuple[Pool, Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools_module, "fingerprint_of_all_code", lambda: "edited")
    address, _ = addresses_of(*pools)
    with pytest.raises(LostWorkerError) as raised:
        run([address], note_pool, str(tmp_path))
    assert reported(raised.value, tmp_path) == (
        f"the pool of workers at {address} (`beam.workers`) could not start a worker; once it can, {AGAIN} (the pool "
        "has imported other code than the node runs: restart the pool after each update)"
    )
    assert pools[0].workers() == []


@pytest.mark.slow
def test_a_worker_that_does_not_connect(
    pools: tuple[Pool, Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_CONNECT_SECONDS", 0)
    monkeypatch.setattr(runner, "_LOOK_SECONDS", 0)
    address, _ = addresses_of(*pools)
    with pytest.raises(LostWorkerError) as raised:
        run([address], note_pool, str(tmp_path))
    words = f"the worker of the pool at {address} (`beam.workers`) did not connect to 127.0.0.1:"
    assert (reported(raised.value, tmp_path) or "").startswith(words)
    assert pools[0].workers() == []


@pytest.mark.slow
def test_a_pool_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools_module, "_CALL_SECONDS", 1)
    with worker_pool() as pool:
        os.kill(pool.pid, signal.SIGSTOP)
        with pytest.raises(LostWorkerError) as raised:
            run([f"127.0.0.1:{pool.port}"], note_pool, str(tmp_path))
    words = f"the pool of workers at 127.0.0.1:{pool.port} (`beam.workers`) cannot be reached; once it runs, {AGAIN} "
    assert (reported(raised.value, tmp_path) or "").startswith(f"{words}(DEADLINE_EXCEEDED: ")
