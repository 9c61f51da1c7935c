"""Rules on a span's number of examples and on the distributions of its features."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from components.data_validation.distributions import (
    Distribution,
    divergence,
    divergence_by_chance,
    largest_change,
    measure_tokens,
    new_share,
)
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import ENOUGH_SPANS, EXAMPLES_PER_KEY, each_with_others, finding, spans_before
from components.gate_records import Finding, Severity
from transform.config.drift import Drift
from transform.example_keys import LABEL

#: The name of the distribution of the timestamps' hours, in addition to those of the features.
HOUR_OF_DAY = "hour of timestamp"

#: The allowed divergence, as a multiple of the largest divergence among the reference spans.
_TIMES_USUAL = 3.0

#: A feature with thousands of values is an id if, usually, at least this share of its occurrences is of new values.
_MANY_NEW = 0.2

#: Users with many requests make samples differ more than independent draws do.
_CHANCE_FACTOR = 2.0

#: Hours are missing if this many independent examples are expected of them: none occurs by chance once in a million.
_MIN_MISSING = 14.0

#: The hours of the day are moved if their log-likelihood is larger by this.
_MIN_GAIN = 10.0


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
            if name in current.ids or distribution.is_almost_unique or _has_new_values(distribution, reference):
                excuse = "it is an id"
            elif name in current.of_calendar:
                excuse = "it changes by the calendar"
            measured = list(_measure_feature(name, distribution, reference, spans, settings, excuse))
            yield from measured
            if name == HOUR_OF_DAY and not measured:
                yield from _hour_findings(current, earlier)
        else:
            yield finding(
                "max_divergence",
                "cannot_judge",
                name,
                f"{name} cannot be judged, neither its values nor how well it predicts the label: no earlier span has "
                "the feature",
            )


def _hour_findings(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds hours without an example, and hours of the day that fit those before better if they are moved."""
    now, before = _rows_by_hour(current), [rows for e in earlier if (rows := _rows_by_hour(e))]
    whole = sum(now.values())
    empty = sorted(set.intersection(*map(set, before)) - set(now))
    missing = min(sum(rows[hour] for hour in empty) / sum(rows.values()) for rows in before)
    if missing * whole / EXAMPLES_PER_KEY > _MIN_MISSING:
        hours = ", ".join(f"{hour:02d}" for hour in empty)
        yield finding(
            "reference_spans",
            "warn",
            HOUR_OF_DAY,
            f"no example is of the hours {hours} (UTC), of which each of {spans_before(len(before))} has at least "
            f"{missing:.1%} of its examples: a part of the log may be missing",
            value=0,
            rows=whole,
        )
        return
    gain, shift = _gain(now, before)
    usual = max((_gain(rows, others)[0] for rows, others in each_with_others(before)), default=0.0)
    bound = max(_MIN_GAIN, _TIMES_USUAL * usual)
    if gain > bound:
        yield finding(
            "reference_spans",
            "warn",
            HOUR_OF_DAY,
            f"an hour {'earlier' if shift < 0 else 'later'}, the examples' times would fit those of an earlier span "
            f"better, by a log-likelihood of {gain:.0f} (usual: at most {bound:.0f}): a clock may be an hour off, or "
            "daylight saving time has begun or ended",
            value=gain,
            bound=bound,
            rows=whole,
        )


def _rows_by_hour(evidence: SpanEvidence) -> dict[int, int]:
    return {int(hour): of_hour.rows for hour, of_hour in evidence.hours.items() if of_hour.rows}


def _gain(rows: Mapping[int, int], others: Sequence[Mapping[int, int]]) -> tuple[float, int]:
    """Returns by how much the log-likelihood of a span's hours rises if they are moved, and the move: -1 or 1 hour.

    The likelihood is by the shares of hours in another span, of all others the one by which it is highest. Examples
    count as fewer independent ones (`EXAMPLES_PER_KEY`).
    """
    if not others:
        return 0.0, 1

    def likelihood(move: int) -> float:
        return max(
            sum(n * math.log(max(of.get((hour + move) % 24, 0), 1) / sum(of.values())) for hour, n in rows.items())
            for of in others
        )

    highest, move = max((likelihood(move), move) for move in (-1, 1))
    return (highest - likelihood(0)) / EXAMPLES_PER_KEY, move


def excess(one: Distribution, other: Distribution) -> float:
    """Returns the divergence of two distributions beyond what chance explains."""
    return max(divergence(one, other) - _CHANCE_FACTOR * divergence_by_chance(one, other), 0.0)


def nearest(one: Distribution, others: Sequence[Distribution]) -> tuple[float, int]:
    """Returns the smallest excess to any of the others, and its index."""
    distances = [excess(one, other) for other in others]
    place = min(range(len(distances)), key=distances.__getitem__)
    return distances[place], place


def _has_new_values(current: Distribution, reference: Sequence[Distribution]) -> bool:
    """Returns whether many of a feature's thousands of values are new in each span, as those of an id.

    A single reference span cannot show what is usual; then the current span shows it.
    """
    if len(reference) == 1:
        share = new_share(current, reference[0])
        return share is not None and share >= _MANY_NEW
    nearest_shares = []
    for one, others in each_with_others(reference):
        if known := [share for other in others if (share := new_share(one, other)) is not None]:
            nearest_shares.append(min(known))
    return bool(nearest_shares) and statistics.median(nearest_shares) >= _MANY_NEW


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
