"""The rule on the distributions of a span's features."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components.data_validation.distributions import (
    NUM_QUANTILES,
    Distribution,
    divergence,
    divergence_by_chance,
    largest_change,
    measure_tokens,
    new_share,
)
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.feature_rules.hours import HOUR_OF_DAY, hour_findings
from components.data_validation.feature_rules.new_values import new_values, swapped_findings, without
from components.data_validation.findings import ENOUGH_SPANS, each_with_others, finding, spans_before
from components.data_validation.label_rules.by_model import miscalibration
from components.data_validation.label_rules.shares import comparable
from components.gate_records import Finding, Severity
from transform.config.drift import Drift
from transform.example_keys import LABEL

#: The allowed divergence, as a multiple of the largest divergence among the reference spans.
_TIMES_USUAL = 3.0

#: A feature with thousands of values is an id if, usually, at least this share of its occurrences is of new values.
_MANY_NEW = 0.2

#: Users with many requests make samples differ more than independent draws do.
_CHANCE_FACTOR = 2.0

#: New values, and those that are so many times as frequent as before, of at most this share of the examples only warn,
#: if the other ones are as before.
_MAX_NEW, _GROWTH = 0.2, 10.0


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
    yield from swapped_findings(now, before, settings)
    is_foreseen = current.model is not None and miscalibration(current, comparable(current, earlier), settings) is None
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
            measured = list(
                _measure_feature(name, distribution, reference, spans, settings, excuse, is_foreseen=is_foreseen)
            )
            yield from measured
            if name == HOUR_OF_DAY:
                is_found = any(found.severity != "cannot_judge" for found in measured)
                yield from hour_findings(current, earlier, is_found=is_found)
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


class DriftJudgement(NamedTuple):
    """The distance of a feature's distribution from that of the nearest reference span, and its bound.

    Attributes:
      distance: The divergence beyond what chance explains, 0 to 1.
      place: The index of the nearest reference span.
      bound: The largest distance allowed; of a feature within `drift.divergence_floor`, this floor.
      origin: The key of the config that the bound is from.
    """

    distance: float
    place: int
    bound: float
    origin: str

    @property
    def is_within(self) -> bool:
        """Whether the distance is within the bound."""
        return self.distance <= self.bound

    @property
    def can_judge(self) -> bool:
        """Whether a divergence, which is at most 1, can exceed the bound."""
        return self.bound <= 1


def judge_drift(name: str, current: Distribution, reference: Sequence[Distribution], settings: Drift) -> DriftJudgement:
    """Compares a feature's distribution with those of the reference spans, of which there is at least one."""
    distance, place = nearest(current, reference)
    if name in settings.max_divergence:
        return DriftJudgement(distance, place, settings.max_divergence[name], f"drift.max_divergence.{name}")
    bound = settings.divergence_floor
    if distance > bound:  # else what is usual, which takes long, does not matter
        if len(reference) < ENOUGH_SPANS:
            bound *= 2
        if len(reference) > 1:
            usual = max(nearest(one, others)[0] for one, others in each_with_others(reference))
            bound = max(bound, _TIMES_USUAL * usual)
    return DriftJudgement(distance, place, bound, "drift.divergence_floor")


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
    *,
    is_foreseen: bool,
) -> Iterator[Finding]:
    distance, place, bound, origin = judged = judge_drift(name, current, reference, settings)
    if not judged.can_judge:
        yield finding(
            "divergence_floor",
            "cannot_judge",
            name,
            f"the distribution of {name} cannot be judged: no divergence is above 1, and the bound would be "
            f"{bound:.4f}, {_TIMES_USUAL:g} times what the reference spans differ by ({origin}). Received: "
            f"{distance:.4f} from the nearest, span {spans[place]}",
            value=distance,
            bound=bound,
            rows=current.num_values,
        )
    if judged.is_within:
        return
    severity: Severity = settings.action
    note = ""
    new = new_values(current, reference, growth=_GROWTH)
    if excuse and name not in settings.max_divergence:
        severity, note = "warn", f"; {excuse}, which only warns"
    elif 0 < sum(new.values()) <= _MAX_NEW and nearest(without(current, new), reference)[0] <= bound:
        severity = "warn"
        note = f"; the cause is {', '.join(new)}, which no span before has, or hardly any: this only warns"
    elif is_foreseen and _all_have_the_usual_value(current, reference):
        severity = "warn"
        note = "; all examples have the value that most had before, as in a sale, and the baseline foresees it"
    elif name not in settings.max_divergence and all(d.is_constant for d in (current, *reference)):
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


def _all_have_the_usual_value(current: Distribution, reference: Sequence[Distribution]) -> bool:
    """Returns whether all values of a numeric feature are the median of each reference span, such as a price of 0."""
    medians = {d.quantiles[NUM_QUANTILES // 2] for d in reference if d.is_numeric}
    return current.is_numeric and current.is_constant and medians == {current.quantiles[0]}


def _distributions(evidence: SpanEvidence) -> dict[str, Distribution]:
    """Returns the distributions of the features, the label and, if there are at least two, the timestamps' hours."""
    whole = evidence.whole
    found = dict(evidence.features)
    found[LABEL] = measure_tokens({"1": whole.positives, "0": whole.rows - whole.positives}, 0, whole.rows)
    if len(evidence.hours) > 1:
        hours = {hour: of_hour.rows for hour, of_hour in evidence.hours.items()}
        found[HOUR_OF_DAY] = measure_tokens(hours, 0, evidence.num_requests)
    return found
