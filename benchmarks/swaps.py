"""New versions under load: `python -m benchmarks.swaps VERSION`.

A client ranks at a steady rate while the same model is pushed again and again as a new version. Prints the failed
requests, the responses of a version older than one that has already answered, and the latency of the requests in flight
during a swap (from the push until the old version is dropped), compared with that of the others. Client and server
share the machine. A latency counts from the time at which the request was scheduled and includes the client's own time.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import math
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.model_server import MODEL, free_port, push, running
from pipeline.cli.display import console_for
from serving.model_server.protos import import_protos_alone

#: A swap, from the push until the old version is dropped, in seconds since 1970; one that did not end, to infinity.
Span = tuple[float, float]


@dataclasses.dataclass
class Report:
    """The measurements.

    Attributes:
      num_requests: Number of answered requests.
      errors: Number of failed requests, by code.
      num_older: Number of responses of a version older than one that had answered before.
      num_versions: Number of versions that answered.
      during: Latencies in milliseconds of the requests in flight during a swap.
      between: Latencies in milliseconds of the other requests.
      swaps: The swaps that ended.
    """

    num_requests: int
    errors: dict[str, int]
    num_older: int
    num_versions: int
    during: list[float]
    between: list[float]
    swaps: list[Span]


def measure(
    version: Path, seconds: float, every: float, rate: float, num_candidates: int, deadline_seconds: float = 1.0
) -> Report:
    """Ranks under load while versions are pushed.

    Args:
      version: A pushed version.
      seconds: Duration of the load.
      every: Seconds between two pushes.
      rate: Requests per second.
      num_candidates: Number of candidate items per request.
      deadline_seconds: Time after which a request has failed.
    """
    from serving.load_test.load import load
    from serving.load_test.recorded import read_recorded
    from serving.ranking_client.settings import ClientSettings

    requests = read_recorded(str(version)).requests(num_candidates)
    pushes: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        models, port = Path(folder) / "models", free_port()
        push(version, models, 1)
        with running(models, port, "--poll-seconds", "0.2") as server:
            server.wait_until_ready()
            stop = threading.Event()

            def push_on_schedule() -> None:
                while not stop.wait(every):
                    number = len(pushes) + 2
                    pushes[number] = time.time()
                    push(version, models, number)

            pusher = threading.Thread(target=push_on_schedule)
            pusher.start()
            try:
                settings = ClientSettings(MODEL, f"127.0.0.1:{port}", deadline_seconds=deadline_seconds, max_attempts=1)
                found = asyncio.run(load(settings, requests, rate, seconds))
                started = time.time() - found.seconds
            finally:
                stop.set()
                pusher.join()
            swaps = swaps_of(pushes, server.lines())
    during, between = split(found.latencies, [(begin - started, end - started) for begin, end in swaps])
    ended = [(begin, end) for begin, end in swaps if end < math.inf]
    return Report(
        len(found.latencies), dict(found.errors), found.num_older, len(found.versions), during, between, ended
    )


def swaps_of(pushes: dict[int, float], log: Sequence[dict[str, Any]]) -> list[Span]:
    """Returns the swaps, in the order of the pushes.

    Args:
      pushes: By version, the time of its push.
      log: The server's log.
    """
    dropped = {
        line["version"]: datetime.datetime.fromisoformat(line["time"]).timestamp()
        for line in log
        if line["message"] == "a version was dropped"
    }
    swaps = []
    for number, at in sorted(pushes.items()):
        # A version that the server skipped, since a newer one was there, is never dropped: the next one's end counts.
        ends = [dropped[version] for version in sorted(dropped) if version >= number - 1]
        swaps.append((at, ends[0] if ends else math.inf))
    return swaps


def split(latencies: Sequence[tuple[float, float]], swaps: Sequence[Span]) -> tuple[list[float], list[float]]:
    """Returns the latencies of requests in flight during a swap, and those of the others.

    Args:
      latencies: For each request, its scheduled time in seconds and its latency in milliseconds.
      swaps: The swaps, on the same clock.
    """
    during: list[float] = []
    between: list[float] = []
    for at, milliseconds in latencies:
        touched = any(begin <= at + milliseconds / 1000 and at <= end for begin, end in swaps)
        (during if touched else between).append(milliseconds)
    return during, between


def main() -> None:
    """Prints the failures, the responses of older versions, and both latencies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", type=Path, help="a pushed version, such as WORKSPACE/serving/app_store/1")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--every", type=float, default=5)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--candidates", type=int, default=200)
    arguments = parser.parse_args()
    import_protos_alone()
    report = measure(arguments.version, arguments.seconds, arguments.every, arguments.rate, arguments.candidates)
    console = console_for(sys.stdout)
    console.print(
        f"{report.num_requests:,} requests of {arguments.candidates} candidates at {arguments.rate:g} a second; "
        f"{len(report.swaps)} swaps, {report.num_versions} versions answered"
    )
    failed = sum(report.errors.values())
    console.print(f"failed {failed} {report.errors or ''}; answers of an older version {report.num_older}")
    table = Table("milliseconds", *(f"p{p}" for p in (50, 95, 99)), "requests")
    for name, found in (("during swaps", report.during), ("between swaps", report.between)):
        table.add_row(name, *(f"{np.percentile(found, p):.2f}" for p in (50, 95, 99)), f"{len(found):,}")
    console.print(table)
    ratio = np.percentile(report.during, 99) / np.percentile(report.between, 99)
    lasting = np.mean([end - begin for begin, end in report.swaps])
    console.print(f"p99 during swaps is {ratio:.2f} x that between them; a swap takes {lasting:.1f} s")


if __name__ == "__main__":
    main()
