"""The construction of findings, and the robust statistics that the rules share."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TypeVar

from components.data_validation.evidence import Labelled
from components.gate_records import Finding, Severity

_Item = TypeVar("_Item")

#: The gate's name in its records and findings.
GATE = "data_gate"

#: With fewer reference spans, not every weekday has occurred, and the estimate of the spread is uncertain.
ENOUGH_SPANS = 7

#: Examples of one user and one request are correlated: this many have the information of one independent example.
EXAMPLES_PER_DRAW = 2.0

#: The same of what a key decides for all of its examples: a user, an app or a request has a value, or has none.
EXAMPLES_PER_KEY = 10 * EXAMPLES_PER_DRAW

#: The number of standard deviations by which a number must deviate to count as evidence.
BEYOND_CHANCE = 3.0

#: The largest probability of a lack or a surplus of labels by chance; it is small because many hours and slices are
#: tested each day.
RARE = 1e-6

#: The least standard deviation, from span to span, of the logarithms of the share of label 1 and of the calibration.
USUAL_SPREAD = 0.04


def each_with_others(items: Sequence[_Item]) -> Iterator[tuple[_Item, list[_Item]]]:
    """Yields each item with all others: of `[1, 2, 3]`, (1, [2, 3]), (2, [1, 3]) and (3, [1, 2])."""
    for i, item in enumerate(items):
        yield item, [*items[:i], *items[i + 1 :]]


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
    """Creates a finding of this gate; `rule` is a key of the config's section `drift`, or a key with its section."""
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
    """Returns the words for the reference spans in a sentence."""
    return "the span before it" if number == 1 else f"the {number} spans before it"


def spread(values: Sequence[float], at_least: float) -> float:
    """Estimates the standard deviation of values from their 10th and 90th percentiles; at least `at_least`.

    These percentiles of a normal distribution are 2.56 standard deviations apart. For fewer than ENOUGH_SPANS values
    the result is their sample standard deviation, but at least twice `at_least`, since it is uncertain.
    """
    if len(values) < ENOUGH_SPANS:
        return max(2 * at_least, statistics.stdev(values) if len(values) > 1 else 0.0)
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return max((deciles[-1] - deciles[0]) / 2.56, at_least)


def poisson_tail(observed: int, expected: float) -> float:
    """Returns the probability of at most `observed` events of a Poisson distribution with the mean `expected`."""
    total, term = 0.0, math.exp(-expected)
    for k in range(observed + 1):
        total += term
        term *= expected / (k + 1)
    return min(total, 1.0)


def auc_error(auc: float, examples: Labelled) -> float:
    """Returns the standard error of an AUC (Hanley & McNeil, 1982), enlarged for examples that are not independent."""
    positives, negatives = examples.positives, examples.rows - examples.positives
    if not positives or not negatives:
        return 0.5
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(EXAMPLES_PER_DRAW * variance / (positives * negatives))


def pooled(examples: Sequence[Labelled]) -> Labelled:
    """Returns the sums of rows and positives."""
    return Labelled(sum(e.rows for e in examples), sum(e.positives for e in examples))


def log_noise(positives: int, usual: Sequence[float]) -> float:
    """Returns the standard deviation of the logarithm of a number of positives: by chance, and from span to span."""
    few = 1.0 if len(usual) >= ENOUGH_SPANS else 1.2
    return few * math.hypot(math.sqrt(EXAMPLES_PER_DRAW / positives), spread(usual, USUAL_SPREAD))
