"""Rules on a span's number of examples and on the distributions of its features."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from components.data_validation.distributions import (
    Distribution,
    divergence,
    divergence_by_chance,
    largest_change,
    measure_tokens,
)
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import ENOUGH_SPANS, finding, spans_before
from components.gate_records import Finding, Severity
from transform.config.drift import Drift
from transform.example_keys import LABEL

#: The name of the distribution of the timestamps' hours, in addition to those of the features.
HOUR_OF_DAY = "hour of timestamp"

#: The allowed divergence, as a multiple of the largest divergence among the reference spans.
_TIMES_USUAL = 3.0

#: Users with many requests make samples differ more than independent draws do.
_CHANCE_FACTOR = 2.0


def row_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds too few examples, compared with the median of the reference spans."""
    if not earlier:
        return
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


def drift_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds features whose distribution differs from that of every reference span."""
    if not earlier:
        yield finding(
            "reference_spans",
            "cannot_judge",
            "drift",
            "drift cannot be judged: there is no earlier span that was let through",
        )
        return
    if len(earlier) < min(ENOUGH_SPANS, settings.reference_spans):
        yield finding(
            "reference_spans",
            "cannot_judge",
            "drift",
            f"drift is judged by {spans_before(len(earlier))} only; until there are {ENOUGH_SPANS}, bounds are wider, "
            "and labels that are lost a little each day are not found",
            value=len(earlier),
            bound=ENOUGH_SPANS,
        )
    now, before = _distributions(current), [_distributions(e) for e in earlier]
    for name, distribution in sorted(now.items()):
        spans = [e.span for e, d in zip(earlier, before, strict=True) if name in d]
        reference = [d[name] for d in before if name in d]
        if name == LABEL and name not in settings.max_divergence:  # the label rules are more precise
            continue
        if reference:
            excuse = ""
            if name in current.ids or distribution.is_almost_unique:
                excuse = "it is an id"
            elif name in current.of_calendar:
                excuse = "it changes by the calendar"
            yield from _measure_feature(name, distribution, reference, spans, settings, excuse)
        else:
            yield finding(
                "max_divergence",
                "cannot_judge",
                name,
                f"{name} cannot be judged, neither its values nor how well it predicts the label: no earlier span has "
                "the feature",
            )


def excess(one: Distribution, other: Distribution) -> float:
    """Returns the divergence of two distributions beyond what chance explains."""
    return max(divergence(one, other) - _CHANCE_FACTOR * divergence_by_chance(one, other), 0.0)


def nearest(one: Distribution, others: Sequence[Distribution]) -> tuple[float, int]:
    """Returns the smallest excess to any of the others, and its index."""
    distances = [excess(one, other) for other in others]
    place = min(range(len(distances)), key=distances.__getitem__)
    return distances[place], place


def _measure_feature(
    name: str,
    current: Distribution,
    reference: Sequence[Distribution],
    spans: Sequence[int],
    settings: Drift,
    excuse: str,
) -> Iterator[Finding]:
    distance, place = nearest(current, reference)
    if name in settings.max_divergence:
        bound, origin = settings.max_divergence[name], f"drift.max_divergence.{name}"
    else:
        bound, origin = settings.divergence_floor, "drift.divergence_floor"
        if distance <= bound:
            return
        if len(reference) < ENOUGH_SPANS:
            bound *= 2
        if len(reference) > 1:
            usual = max(nearest(d, [o for o in reference if o is not d])[0] for d in reference)
            bound = max(bound, _TIMES_USUAL * usual)
    if distance <= bound:
        return
    severity: Severity = settings.action
    note = ""
    if name not in settings.max_divergence:
        if excuse:
            severity, note = "warn", f"; {excuse}, which only warns"
        elif current.is_constant and all(d.is_constant for d in reference):
            severity, note = "warn", "; it is constant within a span, which only warns"
    value, share, before = largest_change(current, reference[place])
    unit = f"{value} {share:.3g} after {before:.3g}" if value == "median" else f"{value} {share:.1%} after {before:.1%}"
    yield finding(
        "max_divergence" if name in settings.max_divergence else "divergence_floor",
        severity,
        name,
        f"the distribution of {name} must be within a divergence of {bound:.4f} of that of an earlier span ({origin}). "
        f"Received: {distance:.4f} from the nearest, span {spans[place]} ({unit}){note}",
        value=distance,
        bound=bound,
        rows=current.num_values,
    )


def _distributions(evidence: SpanEvidence) -> dict[str, Distribution]:
    """Returns the distributions of the features, the label and, if there are at least two, the timestamps' hours."""
    whole = evidence.whole
    found = dict(evidence.features)
    found[LABEL] = measure_tokens({"1": whole.positives, "0": whole.rows - whole.positives}, 0, whole.rows)
    if len(evidence.hours) > 1:
        hours = {hour: of_hour.rows for hour, of_hour in evidence.hours.items()}
        found[HOUR_OF_DAY] = measure_tokens(hours, 0, evidence.num_requests)
    return found
