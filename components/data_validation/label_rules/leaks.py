"""The rules on leaks: neither a feature nor one of its values predicts the label far better than before."""

from __future__ import annotations

from collections.abc import Iterator

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import (
    BEYOND_CHANCE,
    ENOUGH_SPANS,
    EXAMPLES_PER_DRAW,
    RARE,
    auc_error,
    finding,
    poisson_tail,
    pooled,
    spread,
)
from components.data_validation.label_rules.shares import comparable
from components.gate_records import Finding
from transform.config.drift import Drift

_AFTER_THE_FACT = "as if it were written after the fact"


def leak_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds features that predict the label far better than before: they leak it; all of them are one finding.

    Of a feature that no earlier span has, the rule on distributions says that it cannot be judged. Where no feature
    does, the values are judged whose examples have label 1 far more often than before. A feature that predicts better
    than is usual, but not far better, is a warning.
    """
    rows = current.measured.rows
    if not current.label_aucs and any(e.label_aucs for e in earlier):
        yield finding(
            "max_label_auc_increase",
            "cannot_judge",
            "label",
            f"whether a feature leaks the label cannot be judged: the {rows:,} examples measured have one label",
            rows=rows,
        )
    chance, found, unusual = BEYOND_CHANCE * auc_error(0.5, current.measured), [], []
    for name, now in current.label_aucs.items():
        before = [e.label_aucs[name] for e in earlier if name in e.label_aucs]
        highest = max(before, default=1.0)
        bound = highest + settings.max_label_auc_increase + chance
        if now > bound:
            found.append((now, name, highest, bound))
        elif len(before) >= ENOUGH_SPANS and now > highest + max(chance, BEYOND_CHANCE * spread(before, 0.005)):
            unusual.append((now - highest, now, name, highest))
    if found:
        yield _of_features(sorted(found, reverse=True), rows, settings)
        return
    of_values = list(_values_of_label_1(current, comparable(current, earlier), settings))
    yield from of_values
    if unusual and not of_values:
        (_, now, name, highest), *others = sorted(unusual, reverse=True)
        also = f"; so do {', '.join(of[2] for of in others)}" if others else ""
        yield finding(
            "max_label_auc_increase",
            "warn",
            name,
            f"{name} alone predicts the label with an AUC of {now:.3f}, in earlier spans at most {highest:.3f}, beyond "
            f"what is usual{also}: in some rows it may know the label, {_AFTER_THE_FACT}",
            value=now,
            bound=highest,
            rows=rows,
        )


def _of_features(found: list[tuple[float, str, float, float]], rows: int, settings: Drift) -> Finding:
    (now, name, before, bound), *others = found
    cause = f"too good to be true, {_AFTER_THE_FACT}"
    if others:
        names = ", ".join(other for _, other, _, _ in others)
        cause = (
            f"and so do {len(others)} others far better than before ({names}): as if they were written after the fact, "
            "or as if rows of one user or item, such as a bot's, had one label"
        )
    return finding(
        "max_label_auc_increase",
        "stop",
        name,
        f"{name} alone predicts the label with an AUC of {now:.3f}, in earlier spans at most {before:.3f} "
        f"(drift.max_label_auc_increase: {settings.max_label_auc_increase:g}): {cause}",
        value=now,
        bound=bound,
        rows=rows,
    )


def _values_of_label_1(current: SpanEvidence, alike: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds slices with far more of label 1 than before, and than the span has elsewhere; all are one finding."""
    usual_of_all = pooled([e.measured for e in alike]).label_share
    if not usual_of_all:
        return
    ratio, found = max(current.measured.label_share / usual_of_all, 1.0), []
    for name, now in current.slices.items():
        usual = pooled([e.slices[name] for e in alike if name in e.slices])
        share = ratio * max(usual.label_share, usual_of_all)
        expected = now.rows * share / EXAMPLES_PER_DRAW
        chance = 1 - poisson_tail(int(now.positives / EXAMPLES_PER_DRAW) - 1, expected)
        if now.label_share > settings.max_label_ratio * share and chance < RARE:
            found.append((now.positives - now.rows * share, name, now, share))
    if not found:
        return
    (_, name, now, share), *others = sorted(found, key=lambda of: of[0], reverse=True)
    also = f", and more than before have it where {', '.join(of[1] for of in others)}" if others else ""
    yield finding(
        "max_label_ratio",
        "stop",
        f"label where {name}",
        f"where {name}, {now.positives:,} of {now.rows:,} impressions have label 1, where {now.rows * share:.0f} are "
        f"usual (allowed: {settings.max_label_ratio:g} times; drift.max_label_ratio){also}: the value may be written "
        "after the fact, or the rows be a bot's",
        value=now.label_share / share,
        bound=settings.max_label_ratio,
        rows=now.rows,
    )
