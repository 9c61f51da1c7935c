"""What the gate on data finds in a span: a pure function of its evidence, and of that of the spans before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.data_validation.drift_rules import drift_findings, row_findings
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.label_rules import label_findings, leak_findings, model_findings
from components.data_validation.repeat_rules import repeat_findings
from components.data_validation.table_rules import agreement_findings, unmatched_findings
from components.gate_records import Finding
from transform.config.drift import Drift

_RULES = (
    repeat_findings,
    row_findings,
    label_findings,
    leak_findings,
    unmatched_findings,
    agreement_findings,
    drift_findings,
    model_findings,
)
_GRAVEST_FIRST = ("stop", "refuse", "warn", "cannot_judge")


def decide(current: SpanEvidence, earlier: Reference, settings: Drift) -> list[Finding]:
    """Holds a span against the spans before it.

    Args:
      current: The span's evidence.
      earlier: That of the spans before it that were let through, the oldest first; the last
        `settings.reference_spans` of them count.
      settings: The bounds.

    Returns:
      What was found, the gravest first: `stop` if the span is not to be learned from.
    """
    reference = earlier[-settings.reference_spans :]
    found = [finding for rule in _RULES for finding in rule(current, reference, settings)]
    return sorted(found, key=lambda f: _GRAVEST_FIRST.index(f.severity))


def decide_inputs(current: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], settings: Drift) -> list[Finding]:
    """The same of recorded inputs, as a replay has them."""
    return decide(SpanEvidence.from_inputs(current), [SpanEvidence.from_inputs(e) for e in earlier], settings)
