"""What the serving log costs the rank service: `python -m benchmarks.serving_log --version VERSION`.

Two services run in front of one model server, one of them with a log. Requests are sent to them by turns, one at a
time, so that what else happens on the machine meets both. Prints the processor time of a request in the service's own
processes, the model server's left out, with the log divided by without; and the median over rounds of the ratio of the
99th percentiles of the latency. All records must be written.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.model_server import children, free_port
from benchmarks.served_model import add_arguments, served_version
from serving.load_test.recorded import read_recorded
from serving.ranking_client.settings import ClientSettings
from serving.serving_log.folder import accounts
from transform.errors import UserError

#: A request's context: the store's features, with as many apps as a phone may have.
CONTEXT = {
    "country": "us",
    "device": "phone",
    "language": "en",
    "account_age_days": 31.5,
    "hour": "20",
    "weekday": "5",
    "page": "home",
    "installed_apps": [f"com.store.app{number}" for number in range(20)],
}

MAX_TIME_RATIO, MAX_P99_RATIO = 1.05, 1.1

_PATIENCE_SECONDS = 120


class Service:
    """A running rank service, and a connection to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> int:
        """Sends a GET; returns its status."""
        return self._answer("GET", path, None)

    def rank(self, body: bytes) -> float:
        """Ranks; returns the milliseconds until the whole answer is there."""
        began = time.perf_counter()
        status = self._answer("POST", "/rank", body)
        if status != 200:
            raise UserError(f"the service must answer with 200. Received: {status}")
        return (time.perf_counter() - began) * 1000

    def processor_seconds(self) -> float:
        """The processor time of the service's processes so far; all threads that live."""
        pids = [self._process.pid, *children(self._process.pid)]
        schedules = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(path.read_text(encoding="ascii").split()[0]) for path in schedules) / 1e9

    def _answer(self, method: str, path: str, body: bytes | None) -> int:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        response.read()
        return response.status


@contextlib.contextmanager
def running(settings: ClientSettings, *options: str) -> Iterator[Service]:
    """Runs a rank service; ends it as Kubernetes does."""
    port = free_port()
    command = [sys.executable, "-m", "pipeline.cli", "rank-service", "--server", settings.server]
    command += ["--model", settings.model, "--port", str(port), "--deadline-seconds", "20", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            service = Service(process, port)
            with contextlib.suppress(OSError, http.client.HTTPException):
                if service.get("/health/ready") == 200:
                    break
            if process.poll() is not None or time.monotonic() > end:
                raise UserError("the rank service must become ready")
            time.sleep(0.1)
        yield service
    finally:
        process.terminate()
        process.wait(30)


def measure(
    services: tuple[Service, Service], bodies: Iterator[bytes], num_rounds: int, num_requests: int
) -> tuple[list[float], float, float]:
    """Sends requests to both services by turns.

    Args:
      services: The one without a log, and the one with it.
      bodies: The requests' bodies; both services get the same.
      num_rounds: The rounds, each with a ratio of p99s.
      num_requests: The requests of a round for each service.

    Returns:
      Each round's ratio of p99s; the processor milliseconds of a request without the log, and with it.
    """
    ratios = []
    before = [service.processor_seconds() for service in services]
    for _ in range(num_rounds):
        milliseconds: tuple[list[float], list[float]] = ([], [])
        for number in range(num_requests):
            body = next(bodies)
            for which in (number % 2, 1 - number % 2):  # each service is first in half of the pairs
                milliseconds[which].append(services[which].rank(body))
        without, with_log = (float(np.percentile(values, 99)) for values in milliseconds)
        ratios.append(with_log / without)
        print(f"p99 without {without:.2f} ms, with {with_log:.2f} ms: {ratios[-1]:.3f}")
    spent = [service.processor_seconds() - at for service, at in zip(services, before, strict=True)]
    without, with_log = (seconds * 1000 / (num_rounds * num_requests) for seconds in spent)
    return ratios, without, with_log


def main() -> None:
    """Prints the ratios, and exits with 1 if one is above its limit or a record is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(candidates=50)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=1_000, help="of a round, for each service")
    arguments = parser.parse_args()
    with served_version(arguments) as (version, settings), tempfile.TemporaryDirectory() as folder:
        recorded = read_recorded(str(version)).requests(arguments.candidates)
        bodies = (
            json.dumps({"context": CONTEXT, "candidates": list(candidates), "user": "user_12345"}).encode()
            for _, candidates in recorded
        )
        log, key = Path(folder) / "log", Path(folder) / "key"
        log.mkdir()
        key.write_text("k" * 32, encoding="utf-8")
        with running(settings) as plain, running(settings, "--log-dir", str(log), "--log-key", str(key)) as logging:
            for _ in range(200):
                body = next(bodies)
                plain.rank(body)
                logging.rank(body)
            ratios, without, with_log = measure((plain, logging), bodies, arguments.rounds, arguments.requests)
        (counters,) = accounts(str(log)).values()
        bytes_each = sum(path.stat().st_size for path in log.glob("*.log")) / counters["written"]
    time_ratio, p99_ratio = with_log / without, statistics.median(ratios)
    print(f"processor time of a request: {without:.3f} ms without, {with_log:.3f} ms with a log: {time_ratio:.3f}")
    print(f"median of {len(ratios)} ratios of p99: {p99_ratio:.3f}; {bytes_each:,.0f} bytes a record")
    expected = 200 + arguments.rounds * arguments.requests
    print(f"{counters['written']:,} of {expected:,} records written")
    is_good = time_ratio <= MAX_TIME_RATIO and p99_ratio <= MAX_P99_RATIO and counters["written"] == expected
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
