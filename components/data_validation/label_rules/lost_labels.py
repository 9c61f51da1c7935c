"""Rules on labels: no labels are lost, and they are made as before.

Lost labels look like unattractive items: the share of label 1 falls, and the baseline predicts more of label 1
than there is. So a span is stopped if the baseline's evidence and the data's evidence agree, or if one kind is
beyond doubt: hours without any label 1, a slice that has lost nearly all of it, or a share far below the usual one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Labelled, Reference, SpanEvidence
from components.data_validation.findings import EXAMPLES_PER_DRAW, RARE, finding, poisson_tail, pooled, spread
from components.data_validation.label_rules.by_model import miscalibration
from components.data_validation.label_rules.shares import comparable, early_loss, share_evidence
from components.gate_records import Finding
from transform.config.drift import Drift

#: The same of a lack in one slice that only warns: of a hundred slices that are tested, one in a hundred days.
_UNUSUAL = 1e-4

#: A slice with at most the first multiple of its usual number of label 1 has lost them; up to the second, some of them.
_GONE, _FEWER = 0.4, 0.6

#: The numbers of spans whose examples of a slice are pooled; the second one if one span has too few.
_POOLED_SPANS = (1, 4)

#: The increase in the share of installs without an impression that counts as evidence, and the multiple of its usual
#: standard deviation.
_MORE_ORPHANS, _TIMES_SPREAD = 0.05, 6.0


def label_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds labels that are made by another recipe, lost labels, and too many of label 1."""
    alike = [e for e in earlier if e.label_version == current.label_version]
    if alike and alike[-1].label_recipe != current.label_recipe:
        yield finding(
            "sources.label_version",
            "stop",
            "label",
            "what makes the label, such as installs.attribution_seconds, changes with sources.label_version only. "
            f"Received: another recipe than span {alike[-1].span}'s with the same version, {current.label_version}",
        )
        return
    alike = comparable(current, earlier)  # a person may have accepted another recipe
    if not alike:
        why = (
            f"sources.label_version is {current.label_version} for the first time, so the references restart"
            if earlier
            else "there is no earlier span that was let through"
        )
        yield finding("min_label_ratio", "cannot_judge", "label", f"lost labels cannot be detected: {why}")
        return
    total = share_evidence(current, alike, settings)
    slices, of_total = _slice_evidence(current, alike, is_total_lost=_is_lost(total))
    if total is None:
        known = [f.subject.removeprefix("label where ") for f in slices]
        yield from _unusual_slices(current, alike, known)
        yield from early_loss(current, alike, settings)
    if total is not None and of_total:
        number = "1 slice" if len(of_total) == 1 else f"{len(of_total)} slices"
        explained = f"this explains the lack of label 1 in {number}, such as where {of_total[0]}"
        total = dataclasses.replace(total, sentence=f"{total.sentence}; {explained}")
    evidence = [] if total is None else [total]
    evidence += [*_hour_evidence(current, alike), *slices, *_orphan_evidence(current, earlier)]
    alone = [e for e in evidence if e.severity == "stop"]
    model = miscalibration(current, alike, settings)
    if model is not None and alone and total is not None and _is_lost(total) and (model.value or 0) > 1:
        evidence[0] = dataclasses.replace(total, sentence=f"{total.sentence}; {model.sentence}")
        model = None
    if model is None or alone:
        yield from evidence
        if model is not None:
            yield model
        return
    lost = [e for e in evidence if _is_lost(e)]
    if not lost or (model.value or 0) < 1:
        yield model
        yield from evidence
        return
    yield finding(
        "max_miscalibration",
        "stop",
        "label",
        f"labels are missing: {model.sentence}; and {'; '.join(e.sentence for e in lost)}",
        value=model.value,
        bound=model.bound,
        rows=model.rows,
    )


def _hour_evidence(current: SpanEvidence, alike: Reference) -> Iterator[Finding]:
    """Finds hours with impressions but without label 1, where many are expected."""
    empty, expected = [], 0.0
    for hour, now in sorted(current.hours.items()):
        usual = pooled([e.hours[hour] for e in alike if hour in e.hours])
        if usual.rows and now.positives == 0 and now.rows:
            empty.append(hour)
            expected += now.rows * usual.label_share
    if poisson_tail(0, expected / EXAMPLES_PER_DRAW) < RARE:
        yield finding(
            "min_label_ratio",
            "stop",
            "label by hour",
            f"no impression of the hours {', '.join(empty)} (UTC) has label 1, where {expected:.0f} are usual",
            value=0,
            bound=expected,
            rows=sum(current.hours[hour].rows for hour in empty),
        )


def _is_lost(found: Finding | None) -> bool:
    """Returns whether a finding is of lost labels, not of too many."""
    return found is not None and found.rule != "drift.max_label_ratio"


def _slice_evidence(current: SpanEvidence, alike: Reference, *, is_total_lost: bool) -> tuple[list[Finding], list[str]]:
    """Finds slices that have lost their label 1; small slices are pooled over several spans.

    Returns:
      The findings, and the slices that would be found but whose loss the total explains: if labels of all examples are
      lost, those that would not be found if a loss as outside of the slice were usual.
    """
    found, of_total = [], []
    for name in sorted(current.slices):
        for num_pooled in _POOLED_SPANS:
            recent = [*alike[len(alike) - num_pooled + 1 :], current]
            older = alike[: len(alike) - num_pooled + 1]
            now = pooled([e.slices[name] for e in recent if name in e.slices])
            usual = pooled([e.slices[name] for e in older if name in e.slices])
            if len(recent) < num_pooled or not usual.rows:
                continue
            expected = now.rows * usual.label_share
            if _lack(now, expected) >= RARE:
                continue
            if is_total_lost and _lack(now, expected * _ratio_outside(name, recent, older)) >= RARE:
                of_total.append(name)
                break
            of = f" of the last {num_pooled} spans" if num_pooled > 1 else ""
            found.append(_lost_slice(name, now, expected, of))
            break
    return found, of_total


def _unusual_slices(current: SpanEvidence, alike: Reference, known: Sequence[str]) -> Iterator[Finding]:
    """Warns of slices with fewer of label 1 than usual, where chance is less improbable; no evidence for a stop."""
    for name in sorted(set(current.slices) - set(known)):
        now, usual = current.slices[name], pooled([e.slices[name] for e in alike if name in e.slices])
        if usual.rows and _lack(now, now.rows * usual.label_share) < _UNUSUAL:
            yield _lost_slice(name, now, now.rows * usual.label_share, "", can_stop=False)


def _lost_slice(name: str, now: Labelled, expected: float, of: str, *, can_stop: bool = True) -> Finding:
    return finding(
        "min_label_ratio",
        "stop" if can_stop and now.positives <= _GONE * expected else "warn",
        f"label where {name}",
        f"where {name}, {now.positives:,} of {now.rows:,} impressions{of} have label 1, where {expected:.0f} are usual",
        value=now.positives,
        bound=expected,
        rows=now.rows,
    )


def _lack(now: Labelled, expected: float) -> float:
    """Returns the probability of so few of label 1 in a slice, given how many are expected; 1 if they are not few."""
    if now.positives > _FEWER * expected:
        return 1.0
    return poisson_tail(int(now.positives / EXAMPLES_PER_DRAW), expected / EXAMPLES_PER_DRAW)


def _ratio_outside(name: str, recent: Reference, older: Reference) -> float:
    """Returns the share of label 1 outside of a slice in recent spans, as a multiple of that in older ones."""

    def share(spans: Reference) -> float:
        of_slice = [(e.measured, e.slices[name]) for e in spans if name in e.slices]
        whole, inside = pooled([m for m, _ in of_slice]), pooled([s for _, s in of_slice])
        return Labelled(whole.rows - inside.rows, whole.positives - inside.positives).label_share

    usual = share(older)
    return min(share(recent) / usual, 1.0) if usual else 1.0


def unsliced_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Says of which features the slices cannot be judged any more, since they have too many values to make slices."""
    del settings
    for name, values in sorted(current.features.items()):
        start = f"{name} = "
        had_slices = bool(earlier) and any(place.startswith(start) for place in earlier[-1].slices)
        if had_slices and not values.is_constant and not any(place.startswith(start) for place in current.slices):
            yield finding(
                "min_label_ratio",
                "cannot_judge",
                f"label by {name}",
                f"lost labels cannot be detected by {name}: it has {values.num_distinct:,} values, too many for slices",
                rows=current.measured.rows,
            )


def _orphan_evidence(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds an unusual share of installs that match no impression."""
    now = current.ingested.installs
    before = [i for e in earlier if (i := e.ingested.installs) is not None and i.num_installs]
    if now is None or not now.num_installs or not before:
        return
    shares = [e.without_impression / e.num_installs for e in before]
    usual = max(shares)
    more = max(_MORE_ORPHANS, _TIMES_SPREAD * spread(shares, 0.01))
    share = now.without_impression / now.num_installs
    if share > usual + more:
        yield finding(
            "min_label_ratio",
            "warn",
            "installs",
            f"{share:.1%} of {now.num_installs:,} installs match no impression, of an earlier span at most {usual:.1%}",
            value=share,
            bound=usual + more,
            rows=now.num_installs,
        )
