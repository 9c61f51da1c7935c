"""Detects a candidate model that is implausibly good: a feature leaks the label, as in a table written late."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Labelled
from components.data_validation.label_rules import auc_error
from components.gate_records import Finding
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE

#: The number of standard errors by which an AUC must exceed the bound.
_BEYOND_CHANCE = 3.0


def implausible_auc(case: Case) -> Iterator[Finding]:
    """Compares the AUC with the baseline's, and with those of the last spans' models that were not refused.

    A model that is legitimately much better must be force-pushed once; then it serves and is the next models' baseline.
    """
    whole = case.current.whole
    counted = [e.inputs.whole.metrics for e in case.earlier[-case.settings.pool_spans :] if not e.refused]
    before = [metrics["auc"] for metrics in (*counted, whole.baseline) if "auc" in metrics]
    examples = Labelled(whole.num_positives + whole.negatives, whole.num_of_rarer_label)
    found = too_good(whole.metrics.get("auc", math.nan), examples, before, case.settings.max_auc_rise)
    if found is not None:
        yield found


def too_good(auc: float, examples: Labelled, before: Sequence[float], max_rise: float) -> Finding | None:
    """Compares a candidate model's AUC with the baseline's, and with those of earlier spans' models on their spans.

    Args:
      auc: The candidate model's AUC on the span's evaluation examples.
      examples: The numbers of those examples.
      before: The AUCs of the other models; one that is undefined, as without a positive, does not count.
      max_rise: How much the AUC may exceed the highest of them, beyond chance (`quality.max_auc_rise`).

    Returns:
      The finding; None if the AUC is credible, or there is no other model with an AUC.
    """
    known = [of_model for of_model in before if math.isfinite(of_model)]
    if not known or math.isnan(auc):
        return None
    highest = max(known)
    bound = highest + max_rise + _BEYOND_CHANCE * auc_error(highest, examples)
    if auc <= bound:
        return None
    return Finding(
        GATE,
        "quality.max_auc_rise",
        "refuse",
        "auc",
        auc,
        bound,
        examples.rows,
        f"auc may be higher than those of the serving model and of the last spans' models, {highest:.4f}, by at "
        f"most {max_rise:g} beyond chance (quality.max_auc_rise). Received: {auc:.4f}: too good to be true, as if a "
        "feature contained the label",
    )
