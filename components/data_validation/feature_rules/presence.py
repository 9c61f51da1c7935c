"""The rule on the share of examples that have a value of a feature, whatever the feature's kind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import ENOUGH_SPANS, EXAMPLES_PER_KEY, finding, spans_before
from components.gate_records import Finding
from transform.config.drift import Drift

#: The allowed change, as a multiple of the usual one among the reference spans, and of its standard error.
_TIMES_USUAL, _BEYOND_CHANCE = 3.0, 3.0

#: The largest part of its share that a feature may lose, however few examples have it.
_MAX_LOSS = 0.5

#: A share of examples, and the number of examples that it is of.
_Presence = tuple[float, float]


def presence_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds features that more or fewer examples have than in the nearest reference span; a list is one value."""
    for name in sorted(current.features):
        before = [(e.span, *_presence(e, name)) for e in earlier if name in e.features]
        if not before:  # the rule on distributions says so
            continue
        share, examples = _presence(current, name)
        span, usual, usual_examples = min(before, key=lambda of: abs(of[1] - share))
        allowed = settings.max_presence_change * (1 if len(before) >= ENOUGH_SPANS else 2)
        if share < usual:
            allowed = min(allowed, _MAX_LOSS * usual)
        by_chance = _standard_error((share, examples), (usual, usual_examples))
        bound = max(allowed, _BEYOND_CHANCE * by_chance, _TIMES_USUAL * _usual_change([of[1] for of in before]))
        if abs(share - usual) > bound:
            table = next((t for t, of in current.ingested.tables.items() if name in of.columns), None)
            of_examples = f"examples whose key `{table}` has" if table else "examples"
            yield finding(
                "max_presence_change",
                settings.action,
                name,
                f"the share of {of_examples} that have a value of {name} may be at most {100 * bound:.1f} percentage "
                f"points from that of an earlier span (drift.max_presence_change: {settings.max_presence_change:g}). "
                f"Received: {share:.1%}, where the nearest of {spans_before(len(before))}, span {span}, has "
                f"{usual:.1%}",
                value=share,
                bound=usual + math.copysign(bound, share - usual),
                rows=round(examples),
            )


def _presence(evidence: SpanEvidence, name: str) -> _Presence:
    """Returns the share of examples with a value; of a table's feature, of those whose key the table has.

    What a table's missing keys take from its features is a finding of the table (`drift.max_unmatched_increase`).
    """
    sample = evidence.sample
    # The record of an earlier release has no sample: each feature but a list has one value per example.
    examples = sample.rows if sample is not None else min(d.num_values for d in evidence.features.values())
    tables = evidence.ingested.tables.values()
    unmatched = examples * next((table.unmatched_share for table in tables if name in table.columns), 0.0)
    matched = max(examples - unmatched, 1.0)
    missing = max(evidence.features[name].num_missing - unmatched, 0.0)
    return max(1 - missing / matched, 0.0), matched


def _standard_error(one: _Presence, other: _Presence) -> float:
    """Returns the standard error of the difference of two shares, if both are samples of one."""
    examples = one[1] + other[1]
    share = (one[0] * one[1] + other[0] * other[1]) / examples
    return math.sqrt(share * (1 - share) * EXAMPLES_PER_KEY * (1 / one[1] + 1 / other[1]))


def _usual_change(shares: Sequence[float]) -> float:
    """Returns the largest difference of a reference span's share from the nearest other one; 0 of one span.

    With enough spans it is the second largest, so that one span that a person let through does not widen the bound.
    """
    ordered = sorted(shares)
    steps = [math.inf, *(b - a for a, b in itertools.pairwise(ordered)), math.inf]
    nearest = sorted(min(below, above) for below, above in itertools.pairwise(steps))
    if len(shares) < 2:
        return 0.0
    return nearest[-2] if len(shares) >= ENOUGH_SPANS else nearest[-1]
