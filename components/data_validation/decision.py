"""The data gate's decision: a pure function of a span's evidence and the evidence of the spans before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.data_validation.drift_rules import drift_findings, row_findings
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.label_rules import (
    label_findings,
    leak_findings,
    model_findings,
    unsliced_findings,
)
from components.data_validation.repeat_rules import repeat_findings
from components.data_validation.table_rules import agreement_findings, unmatched_findings
from components.gate_records import Finding
from transform.config.drift import Drift

_RULES = (
    repeat_findings,
    row_findings,
    label_findings,
    unsliced_findings,
    leak_findings,
    unmatched_findings,
    agreement_findings,
    drift_findings,
    model_findings,
)
_GRAVEST_FIRST = ("stop", "refuse", "warn", "cannot_judge")


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
    found = [finding for rule in _RULES for finding in rule(current, reference, settings)]
    return sorted(found, key=lambda f: _GRAVEST_FIRST.index(f.severity))


def decide_inputs(current: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], settings: Drift) -> list[Finding]:
    """Calls `decide` with recorded inputs, for a replay."""
    return decide(SpanEvidence.from_inputs(current), [SpanEvidence.from_inputs(e) for e in earlier], settings)
