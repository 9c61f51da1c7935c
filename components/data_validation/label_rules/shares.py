"""Rules on the share of label 1 over all examples: that of the span, and its level over the last spans.

The span's share is compared with the median of the reference spans. These follow a slow loss, so that the level is
also compared with an anchor, as the quality of models is. Each span's evidence has the anchor that judged it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from components.data_validation.evidence import Labelled, Reference, SpanEvidence
from components.data_validation.findings import (
    BEYOND_CHANCE,
    ENOUGH_SPANS,
    EXAMPLES_PER_DRAW,
    USUAL_SPREAD,
    finding,
    log_noise,
    spans_before,
)
from components.gate_records import Finding
from transform.config.drift import Drift

#: Label 0 is lost where there is at most this much of it, and of label 1 at most this factor more or less than usual.
_FEWER, _MORE = 0.75, 1.25


def comparable(current: SpanEvidence, earlier: Reference) -> list[SpanEvidence]:
    """Returns the earlier spans whose labels are made as the span's, by the same version and the same recipe."""
    made = (current.label_version, current.label_recipe)
    return [e for e in earlier if (e.label_version, e.label_recipe) == made]


def label_anchor(current: SpanEvidence, earlier: Reference, settings: Drift) -> float | None:
    """Returns the share of label 1 from which the span's level is measured.

    It begins as the median of the first `ENOUGH_SPANS` reference spans. It rises to the level of the last spans or to
    the median of all reference spans, whichever is lower: so it follows a rise that lasts, not a sale. It falls only
    where a person let a span through that was stopped for its level, which then is the anchor.

    Args:
      current: The span.
      earlier: The evidence of earlier spans that were let through, the oldest first, with their anchors.
      settings: The bounds; `reference_spans` of the earlier spans are used.

    Returns:
      A share, above 0; None if there are too few spans whose labels are made as the span's.
    """
    alike = [e for e in comparable(current, earlier[-settings.reference_spans :]) if e.whole.positives]
    if len(alike) < min(ENOUGH_SPANS, settings.reference_spans):
        return None
    usual, last = statistics.median_low(e.whole.label_share for e in alike), alike[-1]
    if last.label_anchor is None:
        return usual
    level = _level(alike)
    is_accepted = _is_lost(last, alike, last.label_anchor, settings)
    return level if is_accepted else max(last.label_anchor, min(level, usual))


def share_evidence(current: SpanEvidence, alike: Reference, settings: Drift) -> Finding | None:
    """Finds an unusual share of label 1, of the span or of the last spans: the gravest finding of these."""
    found = [*_of_span(current, alike, settings), *_of_level(current, alike, settings)]
    return min(found, key=lambda f: f.severity != "stop", default=None)


def _of_span(current: SpanEvidence, alike: Reference, settings: Drift) -> Iterator[Finding]:
    """Compares the span's share with the median of the reference spans."""
    shares = [e.whole.label_share for e in alike if e.whole.positives]
    whole = current.whole
    if not shares or not whole.positives:
        return
    usual = statistics.median(shares)
    ratio = whole.label_share / usual
    z = math.log(ratio) / log_noise(whole.positives, [math.log(s) for s in shares])
    bound, rule = settings.min_label_ratio, "min_label_ratio"
    if ratio > 1:
        bound, rule = settings.max_label_ratio, "max_label_ratio"
    is_beyond = not settings.min_label_ratio <= ratio <= settings.max_label_ratio
    if abs(z) < BEYOND_CHANCE or (
        not is_beyond and 1 / settings.max_miscalibration < ratio < settings.max_miscalibration
    ):
        return
    low, high = settings.min_label_ratio, settings.max_label_ratio
    negatives = _ratio_of_negatives(whole, alike) if ratio > 1 else None
    cause = f"; there is about as much label 1 as usual, but {negatives:.2f} times label 0" if negatives else ""
    yield finding(
        rule,
        "stop" if is_beyond else "warn",
        "label",
        f"the share of label 1 is {whole.label_share:.4f}, {ratio:.2f} times the usual {usual:.4f} "
        f"(allowed: {low:g} to {high:g} times the median of {spans_before(len(alike))}; drift.{rule}){cause}",
        value=ratio,
        bound=bound,
        rows=whole.rows,
    )


def _ratio_of_negatives(whole: Labelled, alike: Reference) -> float | None:
    """Returns the number of label 0 as a multiple of the usual one, if it is that which has fallen; else None."""
    positives = whole.positives / statistics.median(e.whole.positives for e in alike)
    negatives = (whole.rows - whole.positives) / statistics.median(e.whole.rows - e.whole.positives for e in alike)
    return negatives if negatives < _FEWER and 1 / _MORE < positives < _MORE else None


def early_loss(current: SpanEvidence, alike: Reference, settings: Drift) -> Iterator[Finding]:
    """Warns of a fall beyond chance of the share of label 1 while there are too few spans to know the usual spread."""
    shares = [e.whole.label_share for e in alike if e.whole.positives]
    whole = current.whole
    if not shares or not whole.positives or len(alike) >= ENOUGH_SPANS:
        return
    usual = statistics.median(shares)
    ratio = whole.label_share / usual
    by_chance = BEYOND_CHANCE * math.hypot(math.sqrt(EXAMPLES_PER_DRAW / whole.positives), USUAL_SPREAD)
    if ratio * settings.max_miscalibration < 1 and math.log(ratio) < -by_chance:
        yield finding(
            "min_label_ratio",
            "warn",
            "label",
            f"the share of label 1 is {whole.label_share:.4f}, {ratio:.2f} times that of {spans_before(len(alike))}, "
            f"{usual:.4f}: labels may be lost, or so few spans do not show how much it varies",
            value=ratio,
            bound=1 / settings.max_miscalibration,
            rows=whole.rows,
        )


def _of_level(current: SpanEvidence, alike: Reference, settings: Drift) -> Iterator[Finding]:
    """Compares the level with the anchor: labels that go a little each day."""
    anchor, spans = current.label_anchor, [*(e for e in alike if e.whole.positives), current]
    if anchor is None or not _is_lost(current, spans, anchor, settings):
        return
    level, number = _level(spans), min(len(spans), ENOUGH_SPANS)
    yield finding(
        "max_label_loss",
        "stop",
        "label",
        f"the share of label 1 may be below its anchor by at most {settings.max_label_loss:.0%} (drift.max_label_loss)"
        f". Received: {current.whole.label_share:.4f}, and {level:.4f} as the median of the last {number} spans, "
        f"{level / anchor:.2f} times the anchor {anchor:.4f}: labels are lost a little each day. If they are not, let "
        "this span through: its level is the anchor from then on",
        value=level / anchor,
        bound=1 - settings.max_label_loss,
        rows=current.whole.rows,
    )


def _is_lost(current: SpanEvidence, spans: Reference, anchor: float, settings: Drift) -> bool:
    """Returns whether the level of spans, whose last is `current`, is too far below the anchor, beyond chance.

    The span's own share must be, too: after a repair, the spans before it do not stop it.
    """
    level, positives = _level(spans), sum(e.whole.positives for e in spans[-ENOUGH_SPANS:])
    # The spread of the spans is left out, since a slow loss enlarges it.
    by_chance = BEYOND_CHANCE * math.hypot(math.sqrt(EXAMPLES_PER_DRAW / positives), USUAL_SPREAD)
    highest = (1 - settings.max_label_loss) * anchor
    return max(level, current.whole.label_share) < highest and level < anchor * math.exp(-by_chance)


def _level(spans: Reference) -> float:
    """Returns the median share of the last spans: of a week, if a span is a day, each weekday once."""
    return statistics.median(e.whole.label_share for e in spans[-ENOUGH_SPANS:])
