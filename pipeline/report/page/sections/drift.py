"""Drift: each feature's distance from the reference spans, as the gate on data judges it, by the gate's records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from pipeline.report.alike import WORDS
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Note, Table, Tone
from pipeline.report.result.feature_drift import FeatureDrift

#: Features in the chart: those of the table's first rows.
_MAX_BARS = 20

#: The lower end of the chart's logarithmic axis; of smaller divergences a table has the value.
_LOWEST = 1e-4

#: Maximum number of a feature's vanished values that are named.
_MAX_VALUES = 5

_TONES: dict[str, Tone] = {"stop": "bad", "warn": "warn"}


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
            _verdict(d),
        )
        for name, d in drift.items()
    ]
    columns = ("feature", "#divergence", "#bound", "#from span", "values that vanished", "verdict")
    caption = "Divergence beyond chance from the nearest reference span, the nearest to its bound first"
    tones = [_TONES.get(d.severity or "", "") for d in drift.values()]
    data = dataclasses.replace(Table.bounded(caption, columns, rows), tones=tones)
    series = ("divergence", "bound")
    shown = list(drift.items())[:_MAX_BARS]
    values = [{"y": name, "x": d.distance, "s": series[0]} for name, d in shown]
    values += [{"y": name, "x": d.bound, "s": series[1]} for name, d in shown if d.is_judged]
    name, most = shown[0]
    bound = f"of at most {most.bound:.4f}" if most.is_judged else _verdict(most)
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


def _verdict(drift: FeatureDrift) -> str:
    """Returns the gate's verdict in words."""
    if not drift.is_judged:
        return "not judged: the reference spans differ as much"
    within = "within the bound" if drift.distance <= drift.bound else "beyond the bound"
    return WORDS.get(drift.severity or "", within)
