"""The ranking service's metrics: its requests by path and status, and what does not fail a request."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

import prometheus_client
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.latency_buckets import LATENCY_BUCKETS
from serving.ranking_client.ranked import Ranking
from serving.serving_log.counters import DROPPED
from serving.serving_log.log import ServingLog

#: The status of a request whose client has gone before the answer began; nginx's number.
_CLIENT_GONE = 499


class RankingCounters:
    """Counts requests, and what does not fail one: rankings with warnings, and items that the model's catalog lacks.

    Args:
      log: The serving log, whose own counters are shown too; None for none.
    """

    def __init__(self, log: ServingLog | None = None) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # each would add a series
        self._registry = registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "wdr_rank_service_requests", "Requests by path and HTTP status.", ("path", "status"), registry=registry
        )
        self._seconds = prometheus_client.Histogram(
            "wdr_rank_service_request_seconds",
            "From a request's head to the end of its answer.",
            ("path",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._warned = prometheus_client.Counter(
            "wdr_rankings_with_warnings",
            "Rankings of what the model ignores in part.",
            registry=registry,
        )
        self._unknown = prometheus_client.Counter(
            "wdr_ranked_items_not_in_catalog", "Ranked items that the model's catalog lacks.", registry=registry
        )
        self._explored = prometheus_client.Counter(
            "wdr_rank_service_explored_requests",
            "Requests with exploration: left in score order, explored, or left since moving items was too costly.",
            ("outcome",),
            registry=registry,
        )
        self._expected = prometheus_client.Counter(
            "wdr_rank_service_expected_installs",
            "With exploration, installs expected of score order: the scores of the places shown, discounted.",
            registry=registry,
        )
        self._lost = prometheus_client.Counter(
            "wdr_rank_service_lost_installs",
            "With exploration, installs expected of score order and not of the order shown.",
            registry=registry,
        )
        if log is not None:
            registry.register(_OfTheLog(log))

    def count(self, ranking: Ranking) -> None:
        """Counts a ranking's warnings of what is ignored, its items not in the catalog, and what exploration did."""
        self._warned.inc(len(ranking.warnings) > len(ranking.unknown_value_warnings))
        self._unknown.inc(sum(item.in_catalog is False for item in ranking.items))
        if (placed := ranking.arrangement) is not None:
            self._explored.labels(placed.outcome).inc()
            self._expected.inc(placed.expected_installs)
            self._lost.inc(max(0.0, placed.lost_installs))

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request and its time."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def page(self) -> bytes:
        """The counters in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)


class _OfTheLog(Collector):
    """The serving log's counters, read when they are asked for."""

    def __init__(self, log: ServingLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        values = self._log.values()
        requests = CounterMetricFamily(
            "wdr_serving_log_requests",
            "Answered requests by what became of their records; `found_lost` and `removed_requests` are of any writer.",
            labels=("outcome",),
        )
        for outcome in ("written", "not_sampled", *DROPPED, "found_lost", "removed_requests"):
            requests.add_metric([outcome], values[outcome])
        yield requests
        yield CounterMetricFamily(
            "wdr_serving_log_removed_files", "Files that retention removed.", values["removed_files"]
        )


class CountedRequests:
    """ASGI middleware that counts all requests, also those that another middleware refuses.

    Args:
      app: The ASGI application.
      counters: What counts them.
      paths: The paths that are counted by name; all others are counted as one, since each would make a series.
    """

    def __init__(self, app: ASGIApp, counters: RankingCounters, paths: Collection[str]) -> None:
        self._app, self._counters, self._paths = app, counters, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), _CLIENT_GONE

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in self._paths else "other"
        try:
            await self._app(scope, receive, sent)
        except Exception:
            status = 500
            raise
        finally:
            self._counters.count_request(path, status, time.monotonic() - started)
