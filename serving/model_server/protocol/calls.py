"""Requests in flight, each with its deadline and the version that answers it; and the metrics that count them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import grpc
import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.latency_buckets import LATENCY_BUCKETS
from serving.model_server.engine.models import AVAILABLE, ServedVersions, Version
from serving.model_server.errors import ServingError
from serving.model_server.logs import log, num_lost

_Response = TypeVar("_Response")

#: A metric's name, its description, and what returns its value.
Gauge: TypeAlias = tuple[str, str, Callable[[], float]]


class Metrics:
    """Counts requests, and reports the state of the queue and of the versions."""

    def __init__(self, served: ServedVersions, gauges: Iterable[Gauge]) -> None:
        """Makes the metrics, with all counters at 0.

        Args:
          served: The models and their versions.
          gauges: What is measured when the page is read.
        """
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # each would add a series
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "wdr_requests",
            "Requests answered; without model if it is not served, without version if none was found.",
            ("protocol", "method", "model", "version", "signature", "code"),
            registry=self._registry,
        )
        self._seconds = prometheus_client.Histogram(
            "wdr_request_seconds",
            "From a request's arrival to its answer.",
            ("protocol", "method", "model", "signature"),
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        for name, description, read in gauges:
            prometheus_client.Gauge(name, description, registry=self._registry).set_function(read)
        self._registry.register(_Versions(served))
        self._registry.register(_Log())

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


class _Versions(Collector):
    def __init__(self, served: ServedVersions) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        loaded = GaugeMetricFamily("wdr_loaded", "1 for each version that answers.", labels=("model", "version"))
        age = GaugeMetricFamily(
            "wdr_version_age_seconds", "Since a version that answers was pushed.", labels=("model", "version")
        )
        refused = GaugeMetricFamily("wdr_refused", "1 for each version that did not load.", labels=("model", "version"))
        pinned = GaugeMetricFamily(
            "wdr_pinned",
            "1 for each model whose configuration names its versions: no push is loaded.",
            labels=("model",),
        )
        for name, config in self._served.configs.items():
            if config.specific:
                pinned.add_metric((name,), 1)
        for version in self._served.all_versions():
            labels = (version.model, str(version.number))
            if version.state == AVAILABLE:
                loaded.add_metric(labels, 1)
                age.add_metric(labels, time.time() - version.pushed_at)
            elif version.error:
                refused.add_metric(labels, 1)
        yield from (loaded, age, refused, pinned)


class _Log(Collector):
    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("wdr_lost_log_lines", "Lines of the log that could not be written.", num_lost())


@dataclasses.dataclass
class Call:
    """A request in flight.

    Attributes:
      protocol: `grpc` or `rest`.
      method: A method of PredictionService or ModelService, such as `Predict`.
      deadline: On `time.monotonic`'s clock, when the caller stops waiting.
      caller: The client's end of the connection.
      model: The model's name, once it is known and if it is served.
      version: The version that answers, once it is known.
      signature: The signature that answers, once it is known.
    """

    protocol: str
    method: str
    deadline: float
    caller: Hashable = None
    model: str = ""
    version: Version | None = None
    signature: str = ""


async def observed(metrics: Metrics, call: Call, response: Awaitable[_Response]) -> _Response:
    """Awaits a request's response, and counts it in the metrics.

    Raises:
      ServingError: If the request failed, for whatever reason.
    """
    started = time.monotonic()
    code = grpc.StatusCode.OK
    try:
        return await response
    except ServingError as error:
        code = error.code
        raise
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception as error:
        code = grpc.StatusCode.INTERNAL
        reason = f"{type(error).__name__}: {error}"
        log("error", "a request failed", protocol=call.protocol, method=call.method, reason=reason)
        raise ServingError(code, f"the model server failed: {type(error).__name__}") from error
    finally:
        number = str(call.version.number) if call.version else ""
        metrics.count(call.protocol, call.method, call.model, number, call.signature, code, time.monotonic() - started)
