"""Rules for a log of served rankings: rows of other scores, of other positions, and events that are not used."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import BEYOND_CHANCE, EXAMPLES_PER_DRAW, finding, spans_before
from components.gate_records import Finding
from components.infra_validation.skew import TOLERANCE
from transform.config.drift import Drift

#: What becomes of an event that makes or confirms an impression.
_USED = "used"


def rescored_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds rows that their own version does not give the score that they were ranked by."""
    found = current.rescored
    if found is None:
        return
    if not found.rows:
        yield finding(
            "max_rescored_share",
            "cannot_judge",
            "served scores",
            "whether rows have the scores of the versions that ranked them cannot be judged: none of "
            f"{found.sampled:,} rows has a score and a version whose model can score it",
            rows=0,
        )
        return
    share = found.different / found.rows
    if share > settings.max_rescored_share:
        cause = f"; the rows {found.cause}" if found.cause else "; no single feature or version explains it"
        yield finding(
            "max_rescored_share",
            "stop",
            "served scores",
            f"scored again by the version that ranked it, a row must have the score that it was ranked by, to "
            f"{TOLERANCE:g}, other than {settings.max_rescored_share:.2%} of the rows (drift.max_rescored_share). "
            f"Received: {found.different:,} of {found.rows:,} differ, by up to {found.largest:.3g}{cause}",
            value=share,
            bound=settings.max_rescored_share,
            rows=found.rows,
        )


def moved_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds more items than before that were shown elsewhere than at their place in the answer."""
    now = current.ingested.served
    before = [e.ingested.served for e in earlier if e.ingested.served is not None and e.ingested.served.shown]
    if now is None or not now.shown or not before:
        return
    usual = max(each.moved / each.shown for each in before)
    yield from _increase(
        "max_moved_increase",
        "positions",
        now.moved,
        now.shown,
        usual,
        settings.max_moved_increase,
        f"of the items shown were elsewhere than at their place in the answer, in {spans_before(len(before))}",
    )


def event_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds a larger share than before of events that are not used, for each reason."""
    now = current.ingested.served
    before = [e.ingested.served.events for e in earlier if e.ingested.served is not None and e.ingested.served.events]
    if now is None or not now.events or not before:
        return
    total = sum(now.events.values())
    for outcome, number in sorted(now.events.items()):
        if outcome != _USED:
            usual = max(events.get(outcome, 0) / sum(events.values()) for events in before)
            yield from _increase(
                "max_unused_events_increase",
                f"events: {outcome}",
                number,
                total,
                usual,
                settings.max_unused_events_increase,
                f"of the events were `{outcome}`, in {spans_before(len(before))}",
            )


def _increase(
    rule: str, subject: str, number: int, total: int, usual: float, allowed: float, what: str
) -> Iterator[Finding]:
    share = number / total
    bound = usual + allowed + BEYOND_CHANCE * math.sqrt(EXAMPLES_PER_DRAW * usual * (1 - usual) / total)
    if share > bound:
        yield finding(
            rule,
            "stop",
            subject,
            f"at most {usual:.1%} {what}; a span may have at most {bound:.1%} (drift.{rule}). Received: {share:.1%}, "
            f"{number:,} of {total:,}",
            value=share,
            bound=bound,
            rows=total,
        )
