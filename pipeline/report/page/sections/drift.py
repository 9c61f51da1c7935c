"""Drift: each feature's distance from the reference spans, as the gate on data judges it, by the gate's records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from components.data_validation.feature_rules.drift import judge_drift
from components.data_validation.feature_rules.new_values import new_values
from components.gate_records import Finding
from pipeline.report.alike import WORDS
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table, Tone
from pipeline.report.result.run import Run
from transform.config.drift import Drift

#: Features in the chart: those of the table's first rows.
_MAX_BARS = 20

#: The lower end of the chart's logarithmic axis; of smaller divergences a table has the value.
_LOWEST = 1e-4

#: A value vanished if by its share before at least so many were expected: by chance, none are left once in 22,000.
_MIN_EXPECTED = 10

#: Maximum number of a feature's vanished values that are named.
_MAX_VALUES = 5

_RULES = ("drift.max_divergence", "drift.divergence_floor")

_TONES: dict[str, Tone] = {"stop": "bad", "warn": "warn"}


@dataclasses.dataclass(frozen=True)
class FeatureDrift:
    """How a feature's distribution differs from those of the reference spans.

    Attributes:
      distance: The smallest divergence from any of them, beyond what chance explains: 0 to 1.
      bound: The largest one that the gate allows.
      span: The span from which it is the smallest.
      severity: That of the gate's finding; empty if it found nothing.
      is_constant: Whether it has one value in each span, such as a weekday: another value on another day is no drift.
      vanished: Values of that span, with their shares there, that this one has not although ten or more were expected;
        of a feature all of whose values are known by name.
    """

    distance: float
    bound: float
    span: int
    severity: str
    is_constant: bool
    vanished: Mapping[str, float]

    @property
    def is_judged(self) -> bool:
        """Whether a divergence, 0 to 1, can exceed the bound, which is three times that of the reference spans."""
        return self.bound <= 1

    @property
    def verdict(self) -> str:
        """The gate's verdict in words."""
        if not self.is_judged:
            return "not judged: the reference spans differ as much"
        return WORDS.get(self.severity, "within the bound" if self.distance <= self.bound else "beyond the bound")


def read_drift(run: Run) -> dict[str, FeatureDrift]:
    """Returns the drift by feature: what stops the run first, then what is nearest to its bound, or furthest beyond.

    Features that have one value in each span are last.
    """
    evidence, earlier = run.contents.evidence.get(), run.contents.earlier_evidence.get()
    record, settings = run.contents.data_record.get(), run.contents.drift.get() or Drift()
    severities = _severities(record.findings if record else ())
    found = {}
    for name, distribution in evidence.features.items() if evidence else ():
        of_spans = [(e.span, e.features[name]) for e in earlier if name in e.features]
        if of_spans:
            others = [other for _, other in of_spans]
            judged = judge_drift(name, distribution, others, settings)
            span, nearest = of_spans[judged.place]
            found[name] = FeatureDrift(
                judged.distance, judged.bound, span, severities.get(name, ""),
                is_constant=all(d.is_constant for d in (distribution, *others)),
                vanished={
                    value: share
                    for value, share in new_values(nearest, [distribution]).items()
                    if share * distribution.num_draws >= _MIN_EXPECTED
                },
            )  # fmt: skip
    return dict(sorted(found.items(), key=lambda item: _rank(item[1])))


def _severities(findings: Sequence[Finding]) -> dict[str, str]:
    return {f.subject: f.severity for f in findings if f.rule.startswith(_RULES) and f.severity in _TONES}


def _rank(drift: FeatureDrift) -> tuple[bool, bool, float]:
    return drift.severity != "stop", drift.is_constant, -drift.distance / drift.bound


def drift_blocks(drift: Mapping[str, FeatureDrift]) -> Iterator[Block]:
    """Yields the chart and the table."""
    if not drift:
        yield Note("Drift is not shown: no earlier span was measured, or the run did not come to the gate on data.")
        return
    rows = [
        (
            name,
            f"{d.distance:.4f}",
            f"{d.bound:.4f}" if d.is_judged else "–",
            str(d.span),
            _values(d.vanished),
            d.verdict,
        )
        for name, d in drift.items()
    ]
    columns = ("feature", "#divergence", "#bound", "#from span", "values that vanished", "verdict")
    caption = "Divergence beyond chance from the nearest reference span, the nearest to its bound first"
    tones = [_TONES.get(d.severity, "") for d in drift.values()]
    data = dataclasses.replace(Table.bounded(caption, columns, rows), tones=tones)
    series = ("divergence", "bound")
    shown = list(drift.items())[:_MAX_BARS]
    values = [{"y": name, "x": d.distance, "s": series[0]} for name, d in shown]
    values += [{"y": name, "x": d.bound, "s": series[1]} for name, d in shown if d.is_judged]
    name, most = shown[0]
    bound = f"of at most {most.bound:.4f}" if most.is_judged else most.verdict
    words = (
        "The Jensen-Shannon divergence, 0 to 1, of each feature's distribution from that of the nearest reference "
        f"span, less what chance explains, beside its bound. First is {name}: {most.distance:.4f} from span "
        f"{most.span}, {bound}. The axis is logarithmic and begins at {_LOWEST:g}."
    )
    if unjudged := [name for name, d in drift.items() if not d.is_judged]:
        words += f" Without a bound, since the reference spans differ as much: {', '.join(unjudged[:_MAX_BARS])}."
    if vanished := [f"{name}: {_values(d.vanished)}" for name, d in drift.items() if d.vanished and not d.is_constant]:
        yield Note(f"Values that vanished since the nearest reference span: {'; '.join(vanished)}.", "warn")
    spec = charts.bars(values, "divergence", series=series, stack=False, lowest=_LOWEST)
    yield Figure("Drift", words, spec, data, is_wide=True)


def _values(vanished: Mapping[str, float]) -> str:
    """Returns the values with their shares, the most frequent first."""
    ordered = sorted(vanished.items(), key=lambda item: -item[1])
    named = [f"{value} ({numbers.percent(share)})" for value, share in ordered[:_MAX_VALUES]]
    return ", ".join(named) + (f" and {len(ordered) - _MAX_VALUES} more" if len(ordered) > _MAX_VALUES else "")
