"""The section on scores: ROC, precision and recall, calibration and the scores' distribution, of both models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.report.page import charts, numbers
from pipeline.report.page.charts import Datum
from pipeline.report.page.parts import Block, Figure, Note, Table
from pipeline.report.result.run import Run
from pipeline.report.result.scores import BASELINE, Floats, Histogram

#: Points of the calibration curve, fewer if there are few positives, and bars of the distribution.
_NUM_GROUPS, _POSITIVES_PER_GROUP, _NUM_BINS = 15, 20, 40

#: Rows of a curve's table.
_TABLE_ROWS = 11


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    histograms = run.contents.histograms.get()
    if not histograms:
        yield Note(run.absent("There are no scores to draw: the model was not evaluated."), "quiet")
        return
    if BASELINE not in histograms:
        yield Note("No baseline was scored on these examples: the curves are the candidate's only.", "quiet")
    judged = {name: h for name, h in histograms.items() if h.positives.sum() > 0 and h.negatives.sum() > 0}
    if judged:
        yield _roc(judged)
        yield _precision_recall(judged)
    else:
        yield Note("ROC and precision need evaluation examples of both labels.", "warn")
    yield _calibration(histograms)
    yield _distribution(histograms)


def roc(histogram: Histogram) -> tuple[Floats, Floats]:
    """Returns the false and true positive rates, float64 `[buckets + 1]` each, from the highest threshold down."""
    rates = []
    for weights in (histogram.negatives, histogram.positives):
        above = np.concatenate([[0.0], np.cumsum(weights[::-1])])
        rates.append(above / above[-1])
    return rates[0], rates[1]


def precision_recall(histogram: Histogram) -> tuple[Floats, Floats]:
    """Returns recall and precision, float64 `[buckets]` each, from the highest threshold down."""
    positives, examples = np.cumsum(histogram.positives[::-1]), np.cumsum(histogram.examples[::-1])
    return positives / positives[-1], positives / examples


def calibration(histogram: Histogram, groups: int) -> list[tuple[float, float, float]]:
    """Returns groups of about as many examples each: mean score, share of positives, weight of examples."""
    ends = np.cumsum(histogram.examples)
    group = np.minimum((ends - histogram.examples / 2) * groups // ends[-1], groups - 1).astype(np.int64)
    sums = [np.bincount(group, weights, groups) for weights in (histogram.scores, histogram.positives)]
    examples = np.bincount(group, histogram.examples, groups)
    return [(s / n, p / n, n) for s, p, n in zip(*sums, examples, strict=True) if n > 0]


def _roc(histograms: Mapping[str, Histogram]) -> Figure:
    data: list[Datum] = []
    areas, points = {}, {}
    for name, histogram in histograms.items():
        false, true = roc(histogram)
        points[name] = (false, true)
        areas[name] = float(np.trapezoid(true, false))
        data += _line(name, false, true)
    levels = np.linspace(0, 1, _TABLE_ROWS)
    rows = [
        (numbers.percent(level), *(numbers.percent(float(np.interp(level, *points[name]))) for name in points))
        for level in levels
    ]
    table = Table("True positive rate", ("false positive rate", *(f"#{name}" for name in points)), rows)
    words = "Area under the curve: " + ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    spec = charts.lines(data, "false positive rate", "true positive rate", diagonal=True, series=list(histograms))
    return Figure("ROC", f"{words}. The dotted line is chance.", spec, table)


def _precision_recall(histograms: Mapping[str, Histogram]) -> Figure:
    data: list[Datum] = []
    points = {}
    for name, histogram in histograms.items():
        recall, precision = precision_recall(histogram)
        points[name] = (recall, precision)
        data += _line(name, recall, precision)
    levels = np.linspace(0.1, 1, _TABLE_ROWS - 1)
    rows = [
        (numbers.percent(level), *(numbers.percent(_at_recall(*points[name], level)) for name in points))
        for level in levels
    ]
    table = Table("Precision", ("recall of at least", *(f"#{name}" for name in points)), rows)
    half = ", ".join(f"{name} {numbers.percent(_at_recall(*points[name], 0.5))}" for name in points)
    first = next(iter(histograms.values()))
    base = numbers.percent(float(first.positives.sum() / first.examples.sum()))
    words = f"Precision at half of the positives: {half}; {base} of all examples are positive."
    spec = charts.lines(data, "recall", "precision", series=list(histograms))
    return Figure("Precision and recall", words, spec, table)


def _at_recall(recall: Floats, precision: Floats, level: float) -> float:
    return float(precision[np.searchsorted(recall, min(level, 1.0) - 1e-9)])


def _calibration(histograms: Mapping[str, Histogram]) -> Figure:
    positives = min(float(histogram.positives.sum()) for histogram in histograms.values())
    groups = int(np.clip(positives // _POSITIVES_PER_GROUP, 1, _NUM_GROUPS))
    grouped = {name: calibration(histogram, groups) for name, histogram in histograms.items()}
    data: list[Datum] = [
        {"x": score, "y": share, "s": name} for name, groups in grouped.items() for score, share, _ in groups
    ]
    rows = [
        (name, numbers.percent(score), numbers.percent(share), numbers.count(examples))
        for name, groups in grouped.items()
        for score, share, examples in groups
    ]
    table = Table("Groups of equal size by score", ("model", "#mean score", "#positive", "#examples"), rows)
    ratios = {name: float(h.scores.sum() / h.positives.sum()) if h.positives.sum() else math.nan
              for name, h in histograms.items()}  # fmt: skip
    words = "Mean score over the share of positives: " + ", ".join(f"{n} {r:.3f}" for n, r in ratios.items())
    spec = charts.lines(data, "mean score", "share of positives", diagonal=True, points=True, series=list(histograms))
    return Figure("Calibration", f"{words}. The dotted line is a perfect calibration.", spec, table)


def _distribution(histograms: Mapping[str, Histogram]) -> Figure:
    means = {name: histogram.scores / histogram.examples for name, histogram in histograms.items()}
    highest = max(float(m.max()) for m in means.values())
    edges = np.linspace(0, highest, _NUM_BINS + 1)
    data: list[Datum] = []
    rows: list[tuple[str, ...]] = []
    shares = {}
    for name, histogram in histograms.items():
        inside, _ = np.histogram(means[name], edges, weights=histogram.examples)
        shares[name] = inside / histogram.examples.sum()
        data += [{"x": float(x), "y": float(y), "s": name} for x, y in zip(edges, [*shares[name], 0.0], strict=True)]
    for i in range(_NUM_BINS):
        rows.append((f"{edges[i]:.3f} to {edges[i + 1]:.3f}", *(numbers.percent(float(s[i])) for s in shares.values())))
    table = Table("Share of examples by score", ("score", *(f"#{name}" for name in shares)), rows)
    means_of = {name: float(h.scores.sum() / h.examples.sum()) for name, h in histograms.items()}
    words = "Mean score: " + ", ".join(f"{name} {numbers.metric(mean)}" for name, mean in means_of.items()) + "."
    spec = charts.lines(data, "score", "share of examples", histogram=True, series=list(histograms))
    return Figure("Distribution of scores", words, spec, table)


def _line(name: str, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> list[Datum]:
    points = charts.thinned(list(zip(xs, ys, strict=True)))
    return [{"x": round(float(x), 5), "y": round(float(y), 5), "s": name} for x, y in points]
