"""A server killed under load and restarted: `python -m benchmarks.restart VERSION`.

Prints the seconds from the start of the new process until its model answers, and the latency of its first request
compared with the median of the following ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.model_server import MODEL, free_port, push, running
from serving.model_server.protos import import_protos_alone

if TYPE_CHECKING:
    from serving.load_test.recorded import Request
    from serving.ranking_client.settings import ClientSettings


@dataclasses.dataclass
class Report:
    """The measurements.

    Attributes:
      num_answered: Number of requests answered before the kill.
      ready_seconds: Time from the new process's start until it was ready.
      first: Latency of the first request after the restart, in milliseconds.
      following: Latencies of the requests after it, in milliseconds.
    """

    num_answered: int
    ready_seconds: float
    first: float
    following: list[float]


def measure(version: Path, num_candidates: int, num_requests: int, load_seconds: float) -> Report:
    """Kills a server under load, starts another one at the same gRPC port, and ranks.

    Args:
      version: A pushed version.
      num_candidates: Number of candidate items per request.
      num_requests: Number of requests after the restart.
      load_seconds: How long the first server is under load after its first answer.
    """
    from serving.load_test.recorded import read_recorded
    from serving.ranking_client.settings import ClientSettings

    requests = read_recorded(str(version)).requests(num_candidates)
    with tempfile.TemporaryDirectory() as folder:
        models, port = Path(folder) / "models", free_port()
        push(version, models, 1)
        settings = ClientSettings(MODEL, f"127.0.0.1:{port}", deadline_seconds=5.0, max_attempts=1)
        with running(models, port) as server:
            server.wait_until_ready()
            num_answered = _rank_until_killed(settings, requests, server.process.kill, load_seconds)
        started = time.monotonic()
        with running(models, port) as server:
            server.wait_until_ready()
            ready_seconds = time.monotonic() - started
            first, *following = _latencies(settings, requests, num_requests)
    return Report(num_answered, ready_seconds, first, following)


def _rank_until_killed(
    settings: ClientSettings, requests: Iterator[Request], kill: Callable[[], None], seconds: float
) -> int:
    """Ranks without a pause until the server is killed, `seconds` after its first answer.

    Returns:
      The number of requests it answered.
    """
    from serving.ranking_client.client import RankingClient
    from serving.ranking_client.errors import RankingError

    with RankingClient(settings) as client:
        client.rank(*next(requests))
        killer = threading.Timer(seconds, kill)
        killer.start()
        for number, (context, candidates) in enumerate(requests, start=1):
            try:
                client.rank(context, candidates)
            except RankingError:
                killer.join()
                return number
    raise AssertionError  # `requests` is infinite


def _latencies(settings: ClientSettings, requests: Iterator[Request], number: int) -> list[float]:
    """Returns the latencies of consecutive requests in milliseconds; the connection exists before the first."""
    from serving.ranking_client.client import RankingClient

    milliseconds = []
    with RankingClient(settings) as client:
        client.signatures()
        for _, (context, candidates) in zip(range(number), requests, strict=False):
            started = time.monotonic()
            client.rank(context, candidates)
            milliseconds.append((time.monotonic() - started) * 1000)
    return milliseconds


def main() -> None:
    """Prints the seconds until the first response, and its latency compared with the others'."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", type=Path, help="a pushed version, such as WORKSPACE/serving/app_store/1")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    import_protos_alone()
    for _ in range(arguments.repetitions):
        report = measure(arguments.version, arguments.candidates, arguments.requests, load_seconds=2.0)
        median = statistics.median(report.following)
        print(
            f"killed after {report.num_answered:,} answers; ready again after {report.ready_seconds:.2f} s; first "
            f"request {report.first:.2f} ms, median {median:.2f} ms: {report.first / median:.2f} x"
        )


if __name__ == "__main__":
    main()
