"""How the rules word what they find, and the robust statistics that they share."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from components.gate_records import Finding, Severity

#: The gate's name in its records and findings.
GATE = "data_gate"

#: With fewer reference spans not every weekday has been seen, and what they tell of the spread is little.
ENOUGH_SPANS = 7

#: Examples of one user and one request are alike: this many say as much as one that is independent.
EXAMPLES_PER_DRAW = 2.0


def finding(
    rule: str,
    severity: Severity,
    subject: str,
    sentence: str,
    *,
    value: float | None = None,
    bound: float | None = None,
    rows: int | None = None,
) -> Finding:
    """A finding of this gate; `rule` is the key in the config's section `drift`, or another one with its section."""
    return Finding(
        gate=GATE,
        rule=rule if "." in rule else f"drift.{rule}",
        severity=severity,
        subject=subject,
        value=None if value is None else round(float(value), 6),
        bound=None if bound is None else round(float(bound), 6),
        rows=rows,
        sentence=sentence,
    )


def spans_before(number: int) -> str:
    """The reference spans, in a sentence."""
    return "the span before it" if number == 1 else f"the {number} spans before it"


def spread(values: Sequence[float], at_least: float) -> float:
    """The standard deviation of values, of which one in ten at either end does not count.

    The 10th and the 90th percentile of a normal distribution are 2.56 standard deviations apart. Of fewer than
    ENOUGH_SPANS values it is at least twice `at_least`, since they tell little of it.
    """
    if len(values) < ENOUGH_SPANS:
        return max(2 * at_least, statistics.stdev(values) if len(values) > 1 else 0.0)
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return max((deciles[-1] - deciles[0]) / 2.56, at_least)


def poisson_tail(observed: int, expected: float) -> float:
    """The probability of at most `observed` events where `expected` are, of draws that are independent."""
    total, term = 0.0, math.exp(-expected)
    for k in range(observed + 1):
        total += term
        term *= expected / (k + 1)
    return min(total, 1.0)
