"""Rules by the scores of the baseline, which was not trained on the span."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from components.data_validation.evidence import Labelled, ModelEvidence, Reference, SpanEvidence
from components.data_validation.findings import BEYOND_CHANCE, ENOUGH_SPANS, auc_error, finding, log_noise, spread
from components.gate_records import Finding
from transform.config.drift import Drift

#: Many slices are tested each day. One is at random if its AUC is lower by this many standard deviations, and by this
#: part of its usual lead over 0.5.
_BEYOND_CHANCE_OF_MANY, _MOST_OF_LEAD = 4.5, 0.6

#: An AUC of fewer of label 1 may be near 1 by chance, which makes its standard error too small.
_MIN_POSITIVES = 50


def _calibration(model: ModelEvidence) -> float | None:
    """Returns the model's sum of scores divided by the number of label 1; None if either is 0 or missing."""
    return model.whole.predicted / model.whole.positives if model.whole.positives and model.whole.predicted else None


def miscalibration(current: SpanEvidence, alike: Reference, settings: Drift) -> Finding | None:
    """Finds an unusual ratio of predicted to actual label 1 of the baseline; alone, the finding only warns."""
    if current.model is None or (now := _calibration(current.model)) is None:
        return None
    before = [c for e in alike if e.model is not None and (c := _calibration(e.model)) is not None]
    usual = statistics.median(before) if before else 1.0
    ratio = now / usual
    noise = log_noise(current.model.whole.positives, [math.log(c) for c in before])
    if (
        1 / settings.max_miscalibration <= ratio <= settings.max_miscalibration
        or abs(math.log(ratio)) < BEYOND_CHANCE * noise
    ):
        return None
    return finding(
        "max_miscalibration",
        "warn",
        "calibration of the baseline",
        f"the baseline predicts {now:.2f} times the label 1 that the span has, usually {usual:.2f} times "
        f"(drift.max_miscalibration: {settings.max_miscalibration:g})",
        value=ratio,
        bound=settings.max_miscalibration,
        rows=current.model.whole.rows,
    )


def model_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds that the baseline ranks the span far worse than usual, as if labels were joined to the wrong rows."""
    if current.model is None or current.model.auc is None:
        why = (
            "no baseline has scored the span"
            if current.model is None
            else f"the {current.model.whole.rows:,} examples that the baseline has scored have one label"
        )
        if earlier:
            yield finding(
                "max_auc_loss",
                "cannot_judge",
                "baseline",
                f"{why}: lost labels, and features of other rows, are judged by the data alone",
            )
        return
    before = [e.model.auc for e in earlier if e.model is not None and e.model.auc is not None]
    now = current.model
    if not before:
        yield finding(
            "max_auc_loss",
            "cannot_judge",
            "auc of the baseline",
            "a loss of the baseline's AUC cannot be judged: no earlier span has one",
        )
        return
    assert now.auc is not None
    usual = statistics.median(before)
    by_chance = math.hypot(auc_error(usual, now.whole), spread(before, 0.01))
    bound = usual - settings.max_auc_loss - BEYOND_CHANCE * by_chance
    # The spread of enough spans has the standard error of each.
    noise = max(auc_error(usual, now.whole), spread(before, 0.01)) if len(before) >= ENOUGH_SPANS else by_chance
    if now.auc < usual - BEYOND_CHANCE * noise:
        is_stopped = now.auc < bound
        yield finding(
            "max_auc_loss",
            "stop" if is_stopped else "warn",
            "auc of the baseline",
            f"the baseline's AUC on the span may be lower than usual by at most {settings.max_auc_loss:g} "
            f"(drift.max_auc_loss), beyond chance at least {bound:.4f}. Received: {now.auc:.4f}, usually {usual:.4f}: "
            f"features or labels{'' if is_stopped else ' of some rows'} may be joined to the wrong rows",
            value=now.auc,
            bound=bound,
            rows=now.whole.rows,
        )
        if is_stopped:
            return
    yield from _slices_at_random(current, earlier)


def _slices_at_random(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds slices in which the baseline's lead over chance is gone; all of them are one finding.

    With fewer than `ENOUGH_SPANS` it warns: how much a slice of few users differs from span to span is not known yet.
    """
    assert current.model is not None
    found = []
    # The sample is scored as a whole, or a part of it.
    scored = current.model.whole.rows / max(current.measured.rows, 1)
    for name, now in current.model.slice_aucs.items():
        examples = current.slices[name]
        before = [
            e.model.slice_aucs[name]
            for e in earlier
            if e.model is not None and name in e.model.slice_aucs and e.slices[name].positives >= _MIN_POSITIVES
        ]
        if not before or examples.positives < _MIN_POSITIVES:
            continue
        usual = statistics.median(before)
        of_slice = Labelled(round(scored * examples.rows), round(scored * examples.positives))
        by_chance = max(auc_error(usual, of_slice), auc_error(now, of_slice), spread(before, 0.01))
        if usual - now > max(_BEYOND_CHANCE_OF_MANY * by_chance, _MOST_OF_LEAD * (usual - 0.5)):
            found.append(((usual - now) / by_chance, name, now, usual, of_slice.rows, len(before)))
    if not found:
        return
    (_, name, now, usual, rows, _), *others = sorted(found, reverse=True)
    also = f", and so it is where {', '.join(of[1] for of in others)}" if others else ""
    yield finding(
        "max_auc_loss",
        "stop" if any(num_spans >= ENOUGH_SPANS for *_, num_spans in found) else "warn",
        f"auc where {name}",
        f"where {name}, the baseline's AUC is {now:.3f}, usually {usual:.3f}{also}: labels or features there may "
        "be joined to the wrong rows",
        value=now,
        bound=usual - _MOST_OF_LEAD * (usual - 0.5),
        rows=rows,
    )
