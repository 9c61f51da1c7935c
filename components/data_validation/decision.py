"""The data gate's decision: a pure function of a span's evidence and the evidence of the spans before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.feature_rules.drift import drift_findings
from components.data_validation.feature_rules.ids import id_findings
from components.data_validation.feature_rules.positions import position_findings
from components.data_validation.feature_rules.presence import presence_findings
from components.data_validation.feature_rules.rows import row_findings
from components.data_validation.label_rules.by_model import model_findings
from components.data_validation.label_rules.leaks import leak_findings
from components.data_validation.label_rules.lost_labels import label_findings, unsliced_findings
from components.data_validation.repeat_rules import repeat_findings
from components.data_validation.served_rules.rules import event_findings, moved_findings, rescored_findings
from components.data_validation.table_rules import agreement_findings, unmatched_findings
from components.gate_records import Finding, Rule, Severity, apply_rules
from transform.config.drift import Drift

#: The rules of the data gate; each check takes the span's evidence, that of the reference spans, and the bounds.
RULES = (
    Rule(("drift.reference_spans", "drift.max_repeated_rows"), repeat_findings),
    Rule(("drift.min_rows_ratio",), row_findings),
    Rule(("drift.reference_spans",), id_findings),
    Rule(
        (
            "sources.label_version",
            "drift.min_label_ratio",
            "drift.max_label_ratio",
            "drift.max_label_loss",
            "drift.max_miscalibration",
        ),
        label_findings,
    ),
    Rule(("drift.min_label_ratio",), unsliced_findings),
    Rule(("drift.max_label_auc_increase", "drift.max_label_ratio"), leak_findings),
    Rule(("drift.max_unmatched_increase",), unmatched_findings),
    Rule(("drift.min_agreement",), agreement_findings),
    Rule(("drift.max_presence_change",), presence_findings),
    Rule(("drift.reference_spans", "drift.max_divergence", "drift.divergence_floor"), drift_findings),
    Rule(("drift.max_auc_loss",), model_findings),
    Rule(("drift.max_rescored_share",), rescored_findings),
    Rule(("drift.max_moved_increase",), moved_findings),
    Rule(("drift.max_unused_events_increase",), event_findings),
    Rule(("drift.max_position_error",), position_findings),
)
_GRAVEST_FIRST: tuple[Severity, ...] = ("stop", "refuse", "warn", "cannot_judge")


def decide(current: SpanEvidence, earlier: Reference, settings: Drift) -> list[Finding]:
    """Compares a span with the spans before it.

    Args:
      current: The span's evidence.
      earlier: The evidence of earlier spans that were let through, the oldest first; the last
        `settings.reference_spans` of them are used.
      settings: The bounds.

    Returns:
      The findings, the most severe first; one of severity `stop` if no model may be trained on the span.
    """
    reference = earlier[-settings.reference_spans :]
    return apply_rules(RULES, _GRAVEST_FIRST, current, reference, settings)


def decide_inputs(current: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], settings: Drift) -> list[Finding]:
    """Calls `decide` with recorded inputs, for a replay."""
    return decide(SpanEvidence.from_inputs(current), [SpanEvidence.from_inputs(e) for e in earlier], settings)
