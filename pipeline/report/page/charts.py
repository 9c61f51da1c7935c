"""Charts as Vega-Lite specifications, made with Altair; colours and fonts are the page's (`templates/page.js`).

Field names are fixed letters and data are values only, so that nothing from a log becomes part of a specification.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import altair as alt

from pipeline.report.page.parts import MAX_NAME, Spec, cut

#: Maximum number of points of a line.
MAX_POINTS = 200

#: A datum: `x`, `y`, `s` (the series) and what else a chart's marks use.
Datum: TypeAlias = Mapping[str, Any]

_HEIGHT = 240
_ROW_HEIGHT = 22

#: Maximum number of spans that are named on an axis.
_MAX_TICKS = 14

#: The height of an axis with its title, and a legend.
_AXIS_HEIGHT = 64


def thinned(points: Sequence[Any], most: int = MAX_POINTS) -> list[Any]:
    """Returns at most `most` of the points, evenly spaced, with the first and the last."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]


def lines(
    data: Sequence[Datum],
    x: str,
    y: str,
    *,
    diagonal: bool = False,
    points: bool = False,
    histogram: bool = False,
    ordinal: bool = False,
    series: Sequence[str] = (),
) -> Spec:
    """Returns one line per series.

    Args:
      data: The points, with `x`, `y` and `s`.
      x: The title of the horizontal axis.
      y: The title of the vertical axis.
      diagonal: Whether to draw the line y = x.
      points: Whether to mark the points.
      histogram: Whether a line has steps, with the area below it filled.
      ordinal: Whether `x` is a number of which only the order counts, such as an epoch; the points are then marked, and
        the vertical axis need not begin at zero.
      series: The order of the series.
    """
    kind: Literal["O", "Q"] = "O" if ordinal else "Q"
    mark: dict[str, Any] = {"point": points or ordinal, "interpolate": "step-after" if histogram else "linear"}
    base = alt.Chart(_values(data))
    dash = {} if histogram else {"strokeDash": alt.StrokeDash("s:N", sort=list(series) or None).legend(None)}
    drawn = base.mark_area(line=True, opacity=0.25, **mark) if histogram else base.mark_line(strokeWidth=2, **mark)
    chart = drawn.encode(
        x=_axis(alt.X(f"x:{kind}", sort=None), x, ordinal),
        y=alt.Y("y:Q").title(y).scale(zero=not ordinal).stack(None),
        color=_colour(data, series),
        tooltip=[alt.Tooltip("s:N").title("series"), _tip("x", x, kind), _tip("y", y, "Q")],
        **dash,
    )
    if diagonal:
        ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": max(float(d["x"] or 0) for d in data), "y": 0}])
        line = alt.Chart(ends).mark_line(strokeDash=[2, 3], strokeWidth=1, opacity=0.6, color="gray")
        chart = line.encode(x="x:Q", y="x:Q") + chart
    return _done(chart, _HEIGHT)


def _values(data: Sequence[Datum]) -> alt.Data:
    """Returns the data of a chart, with names of bounded length."""
    return alt.Data(values=[{k: cut(v, MAX_NAME) if isinstance(v, str) else v for k, v in d.items()} for d in data])


def _axis(channel: Any, title: str, ordinal: bool) -> Any:
    titled = channel.title(title)
    return titled.axis(labelAngle=0, labelOverlap="greedy") if ordinal else titled.axis(tickCount=6)


def _tip(field: str, title: str, kind: str) -> alt.Tooltip:
    tip = alt.Tooltip(f"{field}:{kind}").title(title)
    return tip.format(",.4~f") if kind == "Q" else tip


def _colour(data: Sequence[Datum], series: Sequence[str]) -> Any:
    """Colours by series; a single one needs no legend."""
    names = {d["s"] for d in data}
    legend = alt.Legend(orient="top", title=None, labelLimit=260) if len(names) > 1 else None
    return alt.Color("s:N", sort=list(series) or None).legend(legend)


def history(data: Sequence[Datum], y: str, marked: Sequence[int], series: Sequence[str], mark: str) -> Spec:
    """Returns one line per series over spans, with a vertical line at each marked span.

    Args:
      data: The points, with the span `x`, `y` and `s`.
      y: The title of the vertical axis.
      marked: The marked spans.
      series: The order of the series.
      mark: What a marked span is.
    """
    base = alt.Chart(_values(data))
    spans = thinned(sorted({*(d["x"] for d in data), *marked}), _MAX_TICKS)
    x = alt.X("x:Q").title("span").axis(values=spans, format="d").scale(zero=False, nice=False, padding=12)
    drawn = base.mark_line(strokeWidth=2, point=True).encode(
        x=x,
        y=alt.Y("y:Q").title(y).scale(zero=False).axis(tickCount=6),
        color=_colour(data, series),
        tooltip=[alt.Tooltip("x:Q").title("span"), alt.Tooltip("s:N").title("series"), _tip("y", y, "Q")],
    )
    if marked:
        rules = alt.Chart(alt.Data(values=[{"x": span, "s": mark} for span in marked]))
        lines_at = rules.mark_rule(strokeDash=[4, 3], strokeWidth=2, color="#d4483b")
        drawn = (
            lines_at.encode(x="x:Q", tooltip=[alt.Tooltip("x:Q").title("span"), alt.Tooltip("s:N").title("run")])
            + drawn
        )
    return _done(drawn, _HEIGHT)


def bars(
    data: Sequence[Datum],
    x: str,
    *,
    series: Sequence[str] = (),
    stack: bool = True,
    share: bool = False,
    lowest: float | None = None,
) -> Spec:
    """Returns horizontal bars.

    Args:
      data: The bars, with the name `y`, the length `x` and the series `s`, in the order in which they are drawn.
      x: The title of the lengths.
      series: The order of the series.
      stack: Whether the series of a name are drawn one after another; else below each other.
      share: Whether lengths are fractions, shown as percentages.
      lowest: Where a logarithmic axis begins, which ends at 1: longer bars end there, and shorter ones are not drawn.
        None is a linear axis.
    """
    encodings: dict[str, Any] = {
        "y": alt.Y("y:N", sort=None).title(None).axis(labelLimit=180),
        "x": alt.X("x:Q")
        .title(x)
        .axis(format=_number_format(data, share), tickCount=5)
        .stack("zero" if stack else None),
        "color": _colour(data, series),
        "tooltip": [alt.Tooltip("y:N").title("name"), alt.Tooltip("s:N").title("series"), _tip("x", x, "Q")],
    }
    if lowest is not None:
        data = [{**d, "x": min(max(d["x"], lowest), 1.0)} for d in data]
        powers = [10.0**i for i in range(math.ceil(math.log10(lowest)), 1)]
        encodings["x"] = encodings["x"].scale(type="log", domain=[lowest, 1]).axis(format="~g", values=powers)
    rows = len({d["y"] for d in data})
    if not stack:
        encodings["yOffset"] = alt.YOffset("s:N", sort=list(series) or None)
        rows *= max(len(series), 1)
    elif series:
        rank = {name: i for i, name in enumerate(series)}
        data = [{**d, "o": rank.get(str(d["s"]), 0)} for d in data]
        encodings["order"] = alt.Order("o:Q")
    chart = alt.Chart(_values(data)).mark_bar(cornerRadiusEnd=2).encode(**encodings)
    return _done(chart, rows * (_ROW_HEIGHT if stack else 14) + _AXIS_HEIGHT)


def _number_format(data: Sequence[Datum], share: bool) -> str:
    """Returns the format of an axis of lengths: thousands are `k`, but thousandths are no `m`."""
    if share:
        return ".2~%"
    return "~s" if any(d["x"] >= 1000 for d in data) else "~g"


def intervals(data: Sequence[Datum], x: str, *, zero: bool) -> Spec:
    """Returns points with their intervals.

    Args:
      data: The points, with the name `y`, the value `x`, the ends `a` and `b`, and the series `s`.
      x: The title of the values.
      zero: Whether the values are differences, for which a line is drawn at zero.
    """
    base = alt.Chart(_values(data))
    name = alt.Y("y:N", sort=None).title(None).axis(labelLimit=180)
    tips = [alt.Tooltip("y:N").title("name"), *(_tip(f, t, "Q") for f, t in (("x", x), ("a", "from"), ("b", "to")))]
    colour = _colour(data, ())
    whiskers = base.mark_rule(strokeWidth=2).encode(
        y=name, x=alt.X("a:Q").title(x).scale(zero=False), x2="b:Q", color=colour, tooltip=tips
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y=name, x="x:Q", color=colour, tooltip=tips)
    drawn = whiskers + points
    if zero:
        line = alt.Chart(alt.Data(values=[{"x": 0}]))
        drawn = line.mark_rule(strokeDash=[2, 3], color="gray").encode(x="x:Q") + drawn
    return _done(drawn, len(data) * _ROW_HEIGHT + _AXIS_HEIGHT)


def timeline(data: Sequence[Datum]) -> Spec:
    """Returns bars from a start to an end, in seconds.

    Args:
      data: The bars, with the name `y`, the start `a`, the end `b` and the series `s`.
    """
    chart = (
        alt.Chart(_values(data))
        .mark_bar(cornerRadius=2, minBandSize=4)
        .encode(
            y=alt.Y("y:N", sort=None).title(None).axis(labelLimit=180),
            x=alt.X("a:Q").title("seconds since the start"),
            x2="b:Q",
            color=_colour(data, ()),
            tooltip=[alt.Tooltip("y:N").title("component"), _tip("a", "from s", "Q"), _tip("b", "to s", "Q")],
        )
    )
    return _done(chart, len(data) * 18 + _AXIS_HEIGHT)


def _done(chart: Any, height: int) -> Spec:
    """Gives a chart the page's width, and returns its specification, checked against Vega-Lite's schema."""
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict()
    spec["autosize"] = {"type": "fit", "contains": "padding"}
    spec.pop("config", None)  # the page's script has it
    return spec
