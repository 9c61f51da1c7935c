"""The quality gate's decisions: pure functions of the measurements of this span and of earlier ones.

Small losses add up. So a candidate model is compared not only with the model that serves, which is replaced every day,
but also with an *anchor*: a pushed model that stays the reference until a model beats it beyond chance
(`components.quality_gate.pooled_rules`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Labelled
from components.gate_records import Finding, Severity
from components.quality_gate import judgement as quality
from components.quality_gate.inputs import EarlierSpan, QualityInputs
from components.quality_gate.judgement import GATE
from components.quality_gate.pooled_rules import ANCHOR_RULES, MIN_POSITIVES, against_anchor, against_serving
from components.quality_gate.too_good import too_good
from components.quality_gate.unseen_spans import on_unseen_spans
from transform.config.evaluation import Evaluation
from transform.config.quality import Quality

#: The number of standard errors, of one span, by which a model must be better to replace the anchor. So the anchor
#: stays during a slow decline: by chance, an equally good model replaces it on one day in 4,300, a worse one more
#: rarely.
BETTER_THAN_ANCHOR = 3.5


def decide(
    current: QualityInputs, span: int, earlier: Sequence[EarlierSpan], settings: Quality, evaluation: Evaluation
) -> list[Finding]:
    """Decides whether a candidate model may be pushed.

    Args:
      current: The inputs of this span.
      span: The span.
      earlier: The inputs of earlier spans, oldest first.
      settings: The bounds over several spans.
      evaluation: The bounds on one span.

    Returns:
      The findings: refusals first, then what could not be judged, then warnings.
    """
    sizes = [quality.slice_sizes(e.inputs.slices) for e in earlier]
    found = [
        *quality.findings(current.slices, evaluation, sizes, current.not_compared),
        *against_anchor(current, earlier, settings),
        *against_serving(current, earlier, settings, evaluation),
        *on_unseen_spans(current, span, earlier, settings),
        *_too_good(current, earlier, settings),
    ]
    order: tuple[Severity, ...] = ("refuse", "cannot_judge", "warn")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _too_good(current: QualityInputs, earlier: Sequence[EarlierSpan], settings: Quality) -> Iterator[Finding]:
    """Compares the AUC with the baseline's, and with those of the last spans' models that were not refused.

    A model that is legitimately much better must be force-pushed once; then it serves and is the next models' baseline.
    """
    whole = current.whole
    counted = [e.inputs.whole.metrics for e in earlier[-settings.pool_spans :] if not e.refused]
    before = [metrics["auc"] for metrics in (*counted, whole.baseline) if "auc" in metrics]
    examples = Labelled(whole.num_positives + whole.negatives, whole.num_of_rarer_label)
    found = too_good(GATE, whole.metrics.get("auc", math.nan), examples, before, settings.max_auc_rise)
    if found is not None:
        yield found


def becomes_anchor(current: QualityInputs, found: Sequence[Finding] = ()) -> bool:
    """Returns whether a candidate model becomes the anchor once it is pushed.

    The first model does, and one that is better beyond chance: its AUC is higher by `BETTER_THAN_ANCHOR` standard
    errors of this span alone, and its log loss is no higher. So does a model if the anchor cannot score the rows any
    more, and one that a person forces past a refusal by the anchor's bounds: the loss is then accepted and recorded,
    and later losses are measured from there.

    Args:
      current: The gate's inputs.
      found: The gate's findings.
    """
    if current.anchor is None or current.anchor.problem:
        return True
    if any(finding.severity == "refuse" and finding.rule in ANCHOR_RULES for finding in found):
        return True
    auc, logloss = (current.anchor.differences.get(name) for name in ("auc", "logloss"))
    if auc is None or logloss is None or current.whole.num_of_rarer_label < MIN_POSITIVES:
        return False
    return auc.estimate > BETTER_THAN_ANCHOR * auc.standard_error and logloss.estimate <= 0
