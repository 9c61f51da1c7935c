"""The drift of a run's features: each one's distance from the reference spans, as the gate on data judges it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.data_validation.distributions import Distribution
from components.data_validation.evidence import SpanEvidence
from components.data_validation.feature_rules.drift import judge_drift
from components.data_validation.feature_rules.new_values import new_values
from components.gate_records import Finding, Severity
from transform.config.drift import Drift

#: A value vanished if by its share before at least so many were expected: by chance, none are left once in 22,000.
_MIN_EXPECTED = 10

_RULES = ("drift.max_divergence", "drift.divergence_floor")


@dataclasses.dataclass(frozen=True)
class FeatureDrift:
    """How a feature's distribution differs from those of the reference spans.

    Attributes:
      distance: The smallest divergence from any of them, beyond what chance explains: 0 to 1.
      bound: The largest one that the gate allows.
      span: The span from which it is the smallest.
      severity: That of the gate's finding; None if it found nothing.
      is_constant: Whether it has one value in each span, such as a weekday: another value on another day is no drift.
      vanished: Values of that span, with their shares there, that this one has not although ten or more were expected;
        of a feature all of whose values are known by name.
    """

    distance: float
    bound: float
    span: int
    severity: Severity | None
    is_constant: bool
    vanished: Mapping[str, float]

    @property
    def is_judged(self) -> bool:
        """Whether the gate could judge it."""
        return self.severity != "cannot_judge"


def read_drift(
    evidence: SpanEvidence | None, earlier: Sequence[SpanEvidence], findings: Sequence[Finding], settings: Drift
) -> dict[str, FeatureDrift]:
    """Returns the drift by feature: what stops the run first, then what is nearest to its bound, or furthest beyond.

    Features that have one value in each span are last.

    Args:
      evidence: The gate's measurements of the span; None if there are none.
      earlier: Those of the reference spans.
      findings: The gate's findings.
      settings: Its bounds.
    """
    severities = {f.subject: f.severity for f in reversed(findings) if f.rule.startswith(_RULES)}  # the gravest stays
    found = {}
    for name, distribution in evidence.features.items() if evidence else ():
        of_spans = [(e.span, e.features[name]) for e in earlier if name in e.features]
        if of_spans:
            found[name] = _measured(name, distribution, of_spans, severities.get(name), settings)
    return dict(sorted(found.items(), key=lambda item: _rank(item[1])))


def _measured(
    name: str,
    distribution: Distribution,
    of_spans: Sequence[tuple[int, Distribution]],
    severity: Severity | None,
    settings: Drift,
) -> FeatureDrift:
    others = [other for _, other in of_spans]
    judged = judge_drift(name, distribution, others, settings)
    span, nearest = of_spans[judged.place]
    vanished = {
        value: share
        for value, share in new_values(nearest, [distribution]).items()
        if share * distribution.num_draws >= _MIN_EXPECTED
    }
    is_constant = all(d.is_constant for d in (distribution, *others))
    return FeatureDrift(judged.distance, judged.bound, span, severity, is_constant, vanished)


def _rank(drift: FeatureDrift) -> tuple[bool, bool, float]:
    return drift.severity != "stop", drift.is_constant, -drift.distance / drift.bound
