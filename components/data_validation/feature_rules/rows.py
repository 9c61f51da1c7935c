"""Rules on the number of a span's examples, and of those of a request."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import BEYOND_CHANCE, finding, spans_before, spread
from components.gate_records import Finding
from transform.config.drift import Drift

#: The least change of the number of examples of a request that is found, as a logarithm.
_MIN_REQUEST_CHANGE = 0.07


def row_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds too few examples, compared with the median of the reference spans, and requests of fewer or more."""
    if not earlier:
        return
    yield from _request_findings(current, earlier)
    usual = statistics.median(e.whole.rows for e in earlier)
    bound = settings.min_rows_ratio * usual
    if current.whole.rows < bound:
        yield finding(
            "min_rows_ratio",
            "stop",
            "examples",
            f"a span must have at least {settings.min_rows_ratio:g} times the median number of examples of "
            f"{spans_before(len(earlier))}, {usual:,.0f} (drift.min_rows_ratio). Received: {current.whole.rows:,}",
            value=current.whole.rows,
            bound=bound,
        )


def _request_findings(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds requests with another number of examples than usual."""
    sizes = [math.log(e.measured.rows / e.num_requests) for e in earlier if e.num_requests]
    if not sizes or not current.num_requests:
        return
    now, usual = current.measured.rows / current.num_requests, math.exp(statistics.median(sizes))
    bound = max(_MIN_REQUEST_CHANGE, BEYOND_CHANCE * spread(sizes, 0.01))
    if abs(math.log(now / usual)) > bound:
        cause = "a part of their lists may be missing" if now < usual else "rows of other requests may be among them"
        yield finding(
            "min_rows_ratio",
            "warn",
            "examples per request",
            f"a request has {now:.2f} examples, usually {usual:.2f} (beyond {bound:.0%} this is unusual): {cause}",
            value=now,
            bound=usual * math.exp(math.copysign(bound, now - usual)),
            rows=current.measured.rows,
        )
