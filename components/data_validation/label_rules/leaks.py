"""The rule on leaks: no feature predicts the label far better than before."""

from __future__ import annotations

from collections.abc import Iterator

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import BEYOND_CHANCE, auc_error, finding
from components.gate_records import Finding
from transform.config.drift import Drift


def leak_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds features that predict the label far better than before: they leak it; all of them are one finding.

    Of a feature that no earlier span has, the rule on distributions says that it cannot be judged.
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
    chance, found = BEYOND_CHANCE * auc_error(0.5, current.measured), []
    for name, now in current.label_aucs.items():
        before = max((e.label_aucs[name] for e in earlier if name in e.label_aucs), default=1.0)
        bound = before + settings.max_label_auc_increase + chance
        if now > bound:
            found.append((now, name, before, bound))
    if not found:
        return
    (now, name, before, bound), *others = sorted(found, reverse=True)
    cause = "too good to be true, as if it were written after the fact"
    if others:
        names = ", ".join(other for _, other, _, _ in others)
        cause = (
            f"and so do {len(others)} others far better than before ({names}): as if they were written after the fact, "
            "or as if rows of one user or item, such as a bot's, had one label"
        )
    yield finding(
        "max_label_auc_increase",
        "stop",
        name,
        f"{name} alone predicts the label with an AUC of {now:.3f}, in earlier spans at most {before:.3f} "
        f"(drift.max_label_auc_increase: {settings.max_label_auc_increase:g}): {cause}",
        value=now,
        bound=bound,
        rows=rows,
    )
