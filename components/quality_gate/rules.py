"""The quality gate's decisions: pure functions of the measurements of this span and of earlier ones.

Small losses add up. So a candidate model is compared not only with the model that serves, which is replaced every day,
but also with an *anchor*: a pushed model that stays the reference until a model beats it beyond chance
(`components.quality_gate.pooled_rules`).
"""

from __future__ import annotations

from collections.abc import Sequence

from components.gate_records import Finding, Rule, apply_rules
from components.quality_gate.calibration import MAX_MISCALIBRATION, miscalibration
from components.quality_gate.inputs import Case, EarlierSpan, QualityInputs
from components.quality_gate.judgement import on_this_span
from components.quality_gate.pooled_rules import ANCHOR_RULES, MIN_POSITIVES, against_anchor, against_serving
from components.quality_gate.reference_rules import against_references
from components.quality_gate.score_rules import THRESHOLDS, coinciding_scores, wrong_certain_scores
from components.quality_gate.too_good import MAX_AUC_RISE, implausible_auc, is_suspicious, lead_of_one_feature
from components.quality_gate.unseen_spans import on_unseen_spans
from components.quality_gate.vanished import SLICES, vanished_slices
from transform.config.evaluation import Evaluation
from transform.config.quality import Quality

#: The number of standard errors, of one span, by which a model must be better to replace the anchor. So the anchor
#: stays during a slow decline: by chance, an equally good model replaces it on one day in 4,300, a worse one more
#: rarely.
BETTER_THAN_ANCHOR = 3.5


#: The rules of the quality gate; each check takes a `Case`.
RULES = (
    Rule(
        (
            "evaluation.thresholds",
            "evaluation.slice_thresholds",
            "evaluation.min_positives",
            "evaluation.min_slice_positives",
            "evaluation.min_slice_examples",
        ),
        on_this_span,
    ),
    Rule((SLICES,), vanished_slices),
    Rule((MAX_MISCALIBRATION,), miscalibration),
    Rule((MAX_MISCALIBRATION,), wrong_certain_scores),
    Rule((THRESHOLDS,), coinciding_scores),
    Rule(ANCHOR_RULES, against_anchor),
    Rule(("evaluation.thresholds", "evaluation.slice_thresholds"), against_serving),
    Rule(("evaluation.slice_thresholds",), against_references),
    Rule(
        ("quality.min_spans", "quality.max_unseen_calibration_loss", "quality.max_unseen_logloss_rise"),
        on_unseen_spans,
    ),
    Rule((MAX_AUC_RISE,), implausible_auc),
    Rule((MAX_AUC_RISE,), lead_of_one_feature),
)


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
    case = Case(current, span, earlier, settings, evaluation)
    return apply_rules(RULES, ("refuse", "cannot_judge", "warn"), case)


def becomes_anchor(current: QualityInputs, found: Sequence[Finding] = ()) -> bool:
    """Returns whether a candidate model becomes the anchor once it is pushed.

    The first model does, and one that is better beyond chance: its AUC is higher by `BETTER_THAN_ANCHOR` standard
    errors of this span alone, and its log loss is no higher. So does a model if the anchor cannot score the rows any
    more, and one that a person forces past a refusal by the anchor's bounds: the loss is then accepted and recorded,
    and later losses are measured from there. One whose rise may be a leak does not: the leak's repair would be refused.

    Args:
      current: The gate's inputs.
      found: The gate's findings.
    """
    if current.anchor is None or current.anchor.problem:
        return True
    if is_suspicious(found):
        return False
    if any(finding.severity == "refuse" and finding.rule in ANCHOR_RULES for finding in found):
        return True
    auc, logloss = (current.anchor.differences.get(name) for name in ("auc", "logloss"))
    if auc is None or logloss is None or current.whole.num_of_rarer_label < MIN_POSITIVES:
        return False
    return auc.estimate > BETTER_THAN_ANCHOR * auc.standard_error and logloss.estimate <= 0
