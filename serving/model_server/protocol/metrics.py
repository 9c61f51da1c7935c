"""Prometheus metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import grpc
import prometheus_client
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.model_server.engine.version import AVAILABLE, Version
from serving.model_server.engine.work_queue import WorkQueue
from serving.model_server.guard.parsing_process import ParsingProcess

#: Upper bounds in seconds, closest to each other where latencies are expected.
_BUCKETS = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.014, 0.017, 0.02),
    *(0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)


class Metrics:
    """Counts requests, and reports the state of the queue and of the versions."""

    def __init__(self, versions: Callable[[], Iterable[Version]], queue: WorkQueue, parsing: ParsingProcess) -> None:
        """Makes the metrics, with all counters at 0.

        Args:
          versions: Returns all known versions.
          queue: The queue in which requests wait and are computed.
          parsing: The process that parses large bodies, with the number of those that wait.
        """
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # each would add a series
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "wdr_requests",
            "Requests answered; without model and version where none was found.",
            ("protocol", "method", "model", "version", "signature", "code"),
            registry=self._registry,
        )
        self._seconds = prometheus_client.Histogram(
            "wdr_request_seconds",
            "From a request's arrival to its answer.",
            ("protocol", "method", "model", "signature"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_State(versions, queue, parsing))

    def count(
        self,
        protocol: str,
        method: str,
        model: str,
        version: str,
        signature: str,
        code: grpc.StatusCode,
        seconds: float | None,
    ) -> None:
        """Counts an answered request; without `seconds`, not in the histogram of times."""
        self._requests.labels(protocol, method, model, version, signature, code.name).inc()
        if seconds is not None:
            self._seconds.labels(protocol, method, model, signature).observe(seconds)

    def page(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)


class _State(Collector):
    def __init__(self, versions: Callable[[], Iterable[Version]], queue: WorkQueue, parsing: ParsingProcess) -> None:
        self._versions, self._queue, self._parsing = versions, queue, parsing

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("wdr_waiting_requests", "Requests in the queue.", self._queue.num_waiting)
        yield GaugeMetricFamily(
            "wdr_waiting_elements", "Candidates or rows in the queue.", self._queue.num_waiting_elements
        )
        yield GaugeMetricFamily("wdr_running_requests", "Requests at work.", self._queue.num_running)
        yield GaugeMetricFamily("wdr_waiting_bodies", "Large bodies to be parsed.", self._parsing.num_waiting)
        loaded = GaugeMetricFamily("wdr_loaded", "1 for each version that answers.", labels=("model", "version"))
        age = GaugeMetricFamily(
            "wdr_version_age_seconds", "Since a version that answers was pushed.", labels=("model", "version")
        )
        refused = GaugeMetricFamily("wdr_refused", "1 for each version that did not load.", labels=("model", "version"))
        for version in self._versions():
            labels = (version.model, str(version.number))
            if version.state == AVAILABLE:
                loaded.add_metric(labels, 1)
                age.add_metric(labels, time.time() - version.pushed_at)
            elif version.error:
                refused.add_metric(labels, 1)
        yield from (loaded, age, refused)
