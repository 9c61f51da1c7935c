"""Rules by the scores of the serving model, which was not trained on the span."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from components.data_validation.evidence import ModelEvidence, Reference, SpanEvidence
from components.data_validation.findings import BEYOND_CHANCE, auc_error, finding, log_noise, spread
from components.gate_records import Finding
from transform.config.drift import Drift


def _calibration(model: ModelEvidence) -> float | None:
    """Returns the model's sum of scores divided by the number of label 1; None if either is 0 or missing."""
    return model.whole.predicted / model.whole.positives if model.whole.positives and model.whole.predicted else None


def miscalibration(current: SpanEvidence, alike: Reference, settings: Drift) -> Finding | None:
    """Finds an unusual ratio of predicted to actual label 1 of the serving model; alone, the finding only warns."""
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
    bound = usual - settings.max_auc_loss - BEYOND_CHANCE * by_chance
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
