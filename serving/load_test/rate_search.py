"""Searches for the largest request rate that a server sustains."""

from __future__ import annotations

from collections.abc import Callable

from serving.load_test.load import LoadReport

#: The search ends when the bounds of the rate differ by at most this factor.
RESOLUTION = 1.05


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
