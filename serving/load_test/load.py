"""An open-loop load test: requests are sent on schedule, whether or not earlier ones have been answered.

`largest_rate` searches for the largest rate that a server sustains.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Callable, Iterator

from hdrh.histogram import HdrHistogram

from serving.load_test.recorded import Request
from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings

#: The histogram's range, 1 microsecond to 1 minute, and its precision, 3 significant digits.
_LOWEST, _HIGHEST, _DIGITS = 1, 60_000_000, 3

#: Requests that are sent first and not counted: they open connections and start the server's threads.
_WARM_UP_REQUESTS = 10

#: The search ends when the bounds of the rate differ by at most this factor.
RESOLUTION = 1.05


@dataclasses.dataclass
class LoadReport:
    """A load test's result.

    Attributes:
      rate: Requests per second, as scheduled.
      seconds: From the first request's scheduled time to the last answer.
      latencies: For each answered request, its scheduled time in seconds from the start, and the milliseconds from then
        to its answer. The latency counts from the scheduled time, not from the real one: otherwise a client that falls
        behind a slow server would omit just those requests that would have waited (coordinated omission).
      errors: The number of failed requests, by gRPC code.
      num_candidates: The candidates of all answered requests.
      num_older: Answers by an older version than an earlier answer's.
      versions: The versions that answered.
      histogram: The latencies in microseconds.
    """

    rate: float
    seconds: float = 0.0
    latencies: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    num_candidates: int = 0
    num_older: int = 0
    versions: set[int] = dataclasses.field(default_factory=set)
    histogram: HdrHistogram = dataclasses.field(default_factory=lambda: HdrHistogram(_LOWEST, _HIGHEST, _DIGITS))

    def answered(self, offset: float, seconds: float, num_candidates: int, version: int) -> None:
        """Records an answer."""
        self.latencies.append((offset, seconds * 1000))
        self.histogram.record_value(min(max(round(seconds * 1e6), _LOWEST), _HIGHEST))
        self.num_candidates += num_candidates
        self.num_older += bool(self.versions) and version < max(self.versions)
        self.versions.add(version)

    def percentile(self, percent: float) -> float:
        """The latency percentile in milliseconds: `percent` % of the answered requests do not exceed it."""
        return float(self.histogram.get_value_at_percentile(percent)) / 1000

    @property
    def candidates_per_second(self) -> float:
        return self.num_candidates / self.seconds if self.seconds else 0.0


async def load(settings: ClientSettings, requests: Iterator[Request], rate: float, seconds: float) -> LoadReport:
    """Sends requests at a steady rate.

    Args:
      settings: The client's settings.
      requests: The requests; if they run out, the test ends early.
      rate: Requests per second.
      seconds: How long requests are sent.

    Returns:
      The report; its latencies include the client's own time.

    Raises:
      RankingError: If a warm-up request fails.
    """
    report = LoadReport(rate)
    async with AsyncRankingClient(settings) as client:
        for _, (context, candidates) in zip(range(_WARM_UP_REQUESTS), requests, strict=False):
            await client.rank(context, candidates)
        start = time.monotonic()

        async def ask(offset: float, request: Request) -> None:
            context, candidates = request
            try:
                ranking = await client.rank(context, candidates)
            except RankingError as error:
                report.errors[error.code.name] += 1
            else:
                report.answered(offset, time.monotonic() - start - offset, len(candidates), ranking.version)

        async with asyncio.TaskGroup() as on_their_way:
            for number, request in zip(range(max(1, round(rate * seconds))), requests, strict=False):
                offset = number / rate
                await asyncio.sleep(start + offset - time.monotonic())
                on_their_way.create_task(ask(offset, request))
        report.seconds = time.monotonic() - start
    return report


def sustained(report: LoadReport, p99_milliseconds: float) -> bool:
    """Whether all requests were answered, 99 % of them within the limit."""
    return bool(report.latencies) and not report.errors and report.percentile(99) <= p99_milliseconds


def largest_rate(try_rate: Callable[[float], LoadReport], first: float, p99_milliseconds: float) -> LoadReport | None:
    """Doubles the rate until it is not sustained, then bisects between the last two rates, on a log scale.

    Args:
      try_rate: Runs a load test at a rate, in requests per second.
      first: The first rate to test.
      p99_milliseconds: The limit of the 99th percentile of the latency.

    Returns:
      The report of the largest rate that was sustained; None if the first one was not.
    """
    best: LoadReport | None = None
    low, high = 0.0, first
    while True:
        report = try_rate(high)
        if not sustained(report, p99_milliseconds):
            break
        best, low, high = report, high, 2 * high
    while best is not None and high / low > RESOLUTION:
        middle = (low * high) ** 0.5
        report = try_rate(middle)
        if sustained(report, p99_milliseconds):
            best, low = report, middle
        else:
            high = middle
    return best
