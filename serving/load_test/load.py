"""An open-loop load test: requests leave on schedule, whether or not the ones before them were answered."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Iterator

from hdrh.histogram import HdrHistogram

from serving.load_test.recorded import Request
from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings

#: Latencies are kept in microseconds, up to a minute, to three digits.
_LOWEST, _HIGHEST, _DIGITS = 1, 60_000_000, 3

#: Requests before those that count: connections and the server's threads start with them.
_WARM_UP_REQUESTS = 10


@dataclasses.dataclass
class LoadReport:
    """What a load test found.

    Attributes:
      rate: Requests per second, as scheduled.
      seconds: From the first request's scheduled time to the last answer.
      latencies: Of each answered request, when it was to be sent, in seconds from the start, and the milliseconds from
        then to its answer. From the intended time, not the real one: a client that falls behind because the server is
        slow would else leave out just the requests that would have waited (coordinated omission).
      errors: The failed requests, by gRPC's code.
      num_candidates: The candidates of the answered requests.
      num_older: Answers of a version older than one that had answered before.
      versions: The versions that answered.
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
        """Counts an answer."""
        self.latencies.append((offset, seconds * 1000))
        self.histogram.record_value(min(max(round(seconds * 1e6), _LOWEST), _HIGHEST))
        self.num_candidates += num_candidates
        self.num_older += bool(self.versions) and version < max(self.versions)
        self.versions.add(version)

    def percentile(self, percent: float) -> float:
        """The latency, in milliseconds, that so many percent of the answered requests do not exceed."""
        return float(self.histogram.get_value_at_percentile(percent)) / 1000

    @property
    def candidates_per_second(self) -> float:
        return self.num_candidates / self.seconds if self.seconds else 0.0


async def load(settings: ClientSettings, requests: Iterator[Request], rate: float, seconds: float) -> LoadReport:
    """Sends requests at a steady rate.

    Args:
      settings: How to ask.
      requests: The requests; one that ends early ends the test.
      rate: Requests per second.
      seconds: For how long requests are sent.

    Returns:
      The report; the client's own time is in it.

    Raises:
      RankingError: If the server does not answer a single request before the test.
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
