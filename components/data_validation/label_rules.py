"""Rules on labels: no labels are lost, they are made as before, and no feature leaks them.

Lost labels look like unattractive items: the share of label 1 falls, and the serving model predicts more of label 1
than there is. So a span is stopped if the serving model's evidence and the data's evidence agree, or if one kind is
beyond doubt: hours without any label 1, a slice that has lost nearly all of it, or a share far below the usual one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Labelled, ModelEvidence, Reference, SpanEvidence
from components.data_validation.findings import (
    ENOUGH_SPANS,
    EXAMPLES_PER_DRAW,
    finding,
    poisson_tail,
    spans_before,
    spread,
)
from components.gate_records import Finding
from transform.config.drift import Drift

#: The number of standard deviations by which a number must deviate to count as evidence.
_BEYOND_CHANCE = 3.0

#: The least standard deviation, from span to span, of the logarithms of the share of label 1 and of the calibration.
_USUAL_SPREAD = 0.04

#: The largest probability of a lack of labels by chance; it is small because many hours and slices are tested each day.
_RARE = 1e-6

#: A slice with at most the first multiple of its usual number of label 1 has lost them; up to the second, some of them.
_GONE, _FEWER = 0.2, 0.6

#: The numbers of spans whose examples of a slice are pooled; the second one if one span has too few.
_POOLED_SPANS = (1, 4)

#: The increase in the share of installs without an impression that counts as evidence.
_MORE_ORPHANS = 0.15


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
    alike = [e for e in alike if e.label_recipe == current.label_recipe]  # a person may have accepted another recipe
    if not alike:
        why = (
            f"sources.label_version is {current.label_version} for the first time, so the references restart"
            if earlier
            else "there is no earlier span that was let through"
        )
        yield finding("min_label_ratio", "cannot_judge", "label", f"lost labels cannot be detected: {why}")
        return
    evidence = list(_share_evidence(current, alike, settings))
    evidence += _hour_evidence(current, alike)
    evidence += _slice_evidence(current, alike)
    evidence += _orphan_evidence(current, earlier)
    alone = [e for e in evidence if e.severity == "stop"]
    model = _miscalibration(current, alike, settings)
    if model is None or alone:
        yield from evidence
        if model is not None:
            yield model
        return
    lost = [e for e in evidence if e.rule != "drift.max_label_ratio"]
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


def _share_evidence(current: SpanEvidence, alike: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds an unusual share of label 1."""
    shares = [e.whole.label_share for e in alike if e.whole.positives]
    whole = current.whole
    if not shares or not whole.positives:
        return
    usual = statistics.median(shares)
    ratio = whole.label_share / usual
    z = math.log(ratio) / _noise(whole.positives, [math.log(s) for s in shares])
    bound, rule = settings.min_label_ratio, "min_label_ratio"
    if ratio > 1:
        bound, rule = settings.max_label_ratio, "max_label_ratio"
    is_beyond = not settings.min_label_ratio <= ratio <= settings.max_label_ratio
    if abs(z) < _BEYOND_CHANCE or (
        not is_beyond and 1 / settings.max_miscalibration < ratio < settings.max_miscalibration
    ):
        return
    low, high = settings.min_label_ratio, settings.max_label_ratio
    yield finding(
        rule,
        "stop" if is_beyond else "warn",
        "label",
        f"the share of label 1 is {whole.label_share:.4f}, {ratio:.2f} times the usual {usual:.4f} "
        f"(allowed: {low:g} to {high:g} times the median of {spans_before(len(alike))}; drift.{rule})",
        value=ratio,
        bound=bound,
        rows=whole.rows,
    )


def _hour_evidence(current: SpanEvidence, alike: Reference) -> Iterator[Finding]:
    """Finds hours with impressions but without label 1, where many are expected."""
    empty, expected = [], 0.0
    for hour, now in sorted(current.hours.items()):
        usual = _pooled([e.hours[hour] for e in alike if hour in e.hours])
        if usual.rows and now.positives == 0 and now.rows:
            empty.append(hour)
            expected += now.rows * usual.label_share
    if poisson_tail(0, expected / EXAMPLES_PER_DRAW) < _RARE:
        yield finding(
            "min_label_ratio",
            "stop",
            "label by hour",
            f"no impression of the hours {', '.join(empty)} (UTC) has label 1, where {expected:.0f} are usual",
            value=0,
            bound=expected,
            rows=sum(current.hours[hour].rows for hour in empty),
        )


def _slice_evidence(current: SpanEvidence, alike: Reference) -> Iterator[Finding]:
    """Finds slices that have lost their label 1; small slices are pooled over several spans."""
    for name in sorted(current.slices):
        for num_pooled in _POOLED_SPANS:
            recent = [*alike[len(alike) - num_pooled + 1 :], current]
            older = alike[: len(alike) - num_pooled + 1]
            now = _pooled([e.slices[name] for e in recent if name in e.slices])
            usual = _pooled([e.slices[name] for e in older if name in e.slices])
            if len(recent) < num_pooled or not usual.rows:
                continue
            expected = now.rows * usual.label_share
            tail = poisson_tail(int(now.positives / EXAMPLES_PER_DRAW), expected / EXAMPLES_PER_DRAW)
            if tail >= _RARE or now.positives > _FEWER * expected:
                continue
            of = f" of the last {num_pooled} spans" if num_pooled > 1 else ""
            yield finding(
                "min_label_ratio",
                "stop" if now.positives <= _GONE * expected else "warn",
                f"label where {name}",
                f"where {name}, {now.positives:,} of {now.rows:,} impressions{of} have label 1, "
                f"where {expected:.0f} are usual",
                value=now.positives,
                bound=expected,
                rows=now.rows,
            )
            break


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
    usual = max(e.without_impression / e.num_installs for e in before)
    share = now.without_impression / now.num_installs
    if share > usual + _MORE_ORPHANS:
        yield finding(
            "min_label_ratio",
            "warn",
            "installs",
            f"{share:.1%} of {now.num_installs:,} installs match no impression, of an earlier span at most {usual:.1%}",
            value=share,
            bound=usual + _MORE_ORPHANS,
            rows=now.num_installs,
        )


def _calibration(model: ModelEvidence) -> float | None:
    """Returns the model's sum of scores divided by the number of label 1; None if either is 0 or missing."""
    return model.whole.predicted / model.whole.positives if model.whole.positives and model.whole.predicted else None


def _miscalibration(current: SpanEvidence, alike: Reference, settings: Drift) -> Finding | None:
    """Finds an unusual ratio of predicted to actual label 1 of the serving model; alone, the finding only warns."""
    if current.model is None or (now := _calibration(current.model)) is None:
        return None
    before = [c for e in alike if e.model is not None and (c := _calibration(e.model)) is not None]
    usual = statistics.median(before) if before else 1.0
    ratio = now / usual
    noise = _noise(current.model.whole.positives, [math.log(c) for c in before])
    if (
        1 / settings.max_miscalibration <= ratio <= settings.max_miscalibration
        or abs(math.log(ratio)) < _BEYOND_CHANCE * noise
    ):
        return None
    return finding(
        "max_miscalibration",
        "warn",
        "calibration of the serving model",
        f"the serving model predicts {now:.2f} times the label 1 that the span has, usually {usual:.2f} times "
        f"(drift.max_miscalibration: {settings.max_miscalibration:g})",
        value=ratio,
        bound=settings.max_miscalibration,
        rows=current.model.whole.rows,
    )


def model_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds that the serving model ranks the span far worse than usual, as if labels were joined to the wrong rows."""
    if current.model is None or current.model.auc is None:
        why = (
            "no serving model has scored the span"
            if current.model is None
            else f"the {current.model.whole.rows:,} examples that the serving model has scored have one label"
        )
        if earlier:
            yield finding(
                "max_auc_loss",
                "cannot_judge",
                "serving model",
                f"{why}: lost labels, and features of other rows, are judged by the data alone",
            )
        return
    before = [e.model.auc for e in earlier if e.model is not None and e.model.auc is not None]
    now = current.model
    if not before:
        yield finding(
            "max_auc_loss",
            "cannot_judge",
            "auc of the serving model",
            "a loss of the serving model's AUC cannot be judged: no earlier span has one",
        )
        return
    assert now.auc is not None
    usual = statistics.median(before)
    by_chance = math.hypot(auc_error(usual, now.whole), spread(before, 0.01))
    bound = usual - settings.max_auc_loss - _BEYOND_CHANCE * by_chance
    if now.auc < bound:
        yield finding(
            "max_auc_loss",
            "stop",
            "auc of the serving model",
            f"the serving model's AUC on the span may be lower than usual by at most {settings.max_auc_loss:g} "
            f"(drift.max_auc_loss), beyond chance at least {bound:.4f}. Received: {now.auc:.4f}, usually {usual:.4f}: "
            "features or labels may be joined to the wrong rows",
            value=now.auc,
            bound=bound,
            rows=now.whole.rows,
        )


def leak_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds features that predict the label far better than before: they leak it."""
    error = auc_error(0.5, current.measured)
    for name, now in sorted(current.label_aucs.items()):
        before = [e.label_aucs[name] for e in earlier if name in e.label_aucs]
        if not before:
            continue
        bound = max(before) + settings.max_label_auc_increase + _BEYOND_CHANCE * error
        if now > bound:
            yield finding(
                "max_label_auc_increase",
                "stop",
                name,
                f"{name} alone predicts the label with an AUC of {now:.3f}, in earlier spans at most {max(before):.3f} "
                f"(drift.max_label_auc_increase: {settings.max_label_auc_increase:g}): too good to be true, as if it "
                "were written after the fact",
                value=now,
                bound=bound,
                rows=current.measured.rows,
            )


def auc_error(auc: float, examples: Labelled) -> float:
    """Returns the standard error of an AUC (Hanley & McNeil, 1982), enlarged for examples that are not independent."""
    positives, negatives = examples.positives, examples.rows - examples.positives
    if not positives or not negatives:
        return 0.5
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(EXAMPLES_PER_DRAW * variance / (positives * negatives))


def _noise(positives: int, usual: Sequence[float]) -> float:
    """Returns the standard deviation of the logarithm of a number of positives: by chance, and from span to span."""
    few = 1.0 if len(usual) >= ENOUGH_SPANS else 1.2
    return few * math.hypot(math.sqrt(EXAMPLES_PER_DRAW / positives), spread(usual, _USUAL_SPREAD))


def _pooled(examples: Sequence[Labelled]) -> Labelled:
    return Labelled(sum(e.rows for e in examples), sum(e.positives for e in examples))
