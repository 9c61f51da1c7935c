"""The rule on how far the log can tell the effect of a position: without impressions placed by chance, it cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import finding
from components.data_validation.positions import PositionEvidence
from components.gate_records import Finding
from transform.config.drift import Drift

#: With a larger standard error, a 95 % interval is wider than ± 1: a factor of 2.7 in the odds, which is as much as
#: positions do. Then the log does not say whether there is an effect.
NO_EFFECT_TOLD = 0.5


def position_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds a log that cannot tell the effect of the position that it has, or not as closely as asked."""
    del earlier  # what a span's log can tell does not depend on other spans
    found = current.position
    if found is None:
        return
    is_unknown = found.error > NO_EFFECT_TOLD
    if is_unknown or found.error > settings.max_position_error:
        yield finding(
            "max_position_error",
            "stop" if is_unknown else "warn",
            found.feature,
            f"{'no model learns the effect of' if is_unknown else 'little is known of'} `{found.feature}`: "
            f"{words(found, settings.max_position_error)} (drift.max_position_error)",
            value=None if math.isinf(found.error) else found.error,
            bound=settings.max_position_error,
            rows=found.rows,
        )


def words(found: PositionEvidence, bound: float) -> str:
    """Returns how far a log can tell the effect of a position, and the least randomization that would do.

    Args:
      found: The examples by position.
      bound: The largest standard error of the last position's effect against the first's that would do.
    """
    if len(found.positions) < 2:
        return f"the log has it at {len(found.positions)} position, and two are needed to compare"
    least = found.least_share(bound)
    needed = (
        f"at least {_percent(least)} of the impressions, placed by chance, would do for {bound:g}"
        if least is not None
        else f"a log of this size is too small for {bound:g}, were all of its impressions placed by chance"
    )
    if not found.by_chance:
        why = "only those tell a position's effect from the relevance of the items that were put there"
        return f"none of {found.rows:,} impressions was placed by chance, and {why}; {needed}"
    first, last = found.positions[0].name, found.positions[-1].name
    told = "is not told" if math.isinf(found.error) else f"has a standard error of {found.error:.2f} in logit"
    return (
        f"{_percent(found.share_by_chance)} of {found.rows:,} impressions were placed by chance, about "
        f"{found.by_chance:,.0f} with {found.positives_by_chance:,.0f} labels of 1, so that the effect of position "
        f"{last} against {first} {told}; {needed}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
