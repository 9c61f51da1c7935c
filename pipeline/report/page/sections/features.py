"""The section on features: their statistics, and how their distributions differ from those of earlier spans.

Statistics and histograms are drawn from TFX's statistics of the span and of the span before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.artifacts import ESTIMATED, UNCOUNTED
from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Figure, Fold, Note, Table
from pipeline.report.page.sections.drift import drift_blocks
from pipeline.report.result.feature_drift import FeatureDrift
from pipeline.report.result.run import Run
from pipeline.report.result.statistics import Statistics
from transform.example_keys import LABEL

#: Charts of single features, values of a categorical one, and bars of a numeric one.
_MAX_CHARTS, _MAX_VALUES, _NUM_BINS = 12, 10, 20


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    drift = run.contents.feature_drift
    yield from drift_blocks(drift)
    statistics = run.contents.statistics.get()
    if statistics is None:
        yield Note("There are no statistics: the run did not come to them, or they were removed.", "quiet")
        return
    shown = _shown(run)
    now = {name: feature for name, feature in statistics.items() if shown is None or name in shown}
    if not now:
        yield Note("The training examples of the span have no statistics.", "quiet")
        return
    before_span, before = run.contents.earlier_statistics.get() or (None, {})
    if before_span is None:
        yield Note("There are no statistics of an earlier span to draw beside this span's.", "quiet")
    yield Fold("Statistics and histograms of the features", [*_tables(now, drift), *_charts(run, now, before, drift)])


def _charts(run: Run, now: Statistics, before: Statistics, drift: Mapping[str, FeatureDrift]) -> Iterator[Block]:
    before_span, _ = run.contents.earlier_statistics.get() or (None, {})
    order = sorted(now.keys() - {LABEL}, key=lambda name: (-(drift[name].distance if name in drift else -1.0), name))
    for name in order[:_MAX_CHARTS]:
        chart = _chart(name, now[name], before.get(name), run.report.span, before_span)
        if chart is not None:
            yield chart
    if len(order) > _MAX_CHARTS:
        yield Note(f"{len(order) - _MAX_CHARTS} more features, with less drift, are in the tables only.", "quiet")


def _shown(run: Run) -> set[str] | None:
    """Returns the config's features and the label; None if the gate on data has no record of them.

    Examples have more columns, such as an impression's id, whose statistics say nothing.
    """
    evidence = run.contents.evidence.get()
    return None if evidence is None else {*evidence.features, LABEL}


def _tables(now: Statistics, drift: Mapping[str, FeatureDrift]) -> Iterator[Block]:
    numeric: list[tuple[str, ...]] = []
    textual: list[tuple[str, ...]] = []
    for name, feature in sorted(now.items(), key=lambda item: -(drift[item[0]].distance if item[0] in drift else -1.0)):
        common = _common(feature)
        missing = numbers.share(common.num_missing, common.num_missing + common.num_non_missing)
        if feature.HasField("num_stats"):
            s = feature.num_stats
            cells = map(numbers.short, (s.min, s.median, s.mean, s.max, s.std_dev))
            numeric.append((name, missing, *cells, numbers.share(s.num_zeros, common.tot_num_values)))
        elif feature.WhichOneof("stats") in ("string_stats", "bytes_stats"):
            top = _top(feature)
            of_top = numbers.share(top[0][1], common.tot_num_values) if top else ""
            words = f"{top[0][0]}, {'at least ' if _has(feature, ESTIMATED) else ''}{of_top}" if top else "–"
            unique = feature.string_stats.unique if feature.HasField("string_stats") else feature.bytes_stats.unique
            distinct = f"{'about ' if _has(feature, ESTIMATED) else ''}{numbers.count(unique)}"
            if _has(feature, UNCOUNTED):
                distinct = "–"
            textual.append((name, missing, distinct, numbers.short(common.avg_num_values), words))
    if numeric:
        of_numbers = ("feature", "#missing", "#minimum", "#median", "#mean", "#maximum", "#deviation", "#zero")
        yield Table.bounded("Numeric features of the span's training examples", of_numbers, numeric)
    if textual:
        columns = ("feature", "#missing", "#distinct", "#values per example", "most frequent value")
        yield Table.bounded("Categorical features of the span's training examples", columns, textual)


def _common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind) if kind else feature.num_stats
    common: statistics_pb2.CommonStatistics = stats.common_stats
    return common


def _has(feature: statistics_pb2.FeatureNameStatistics, custom_statistic: str) -> bool:
    return any(statistic.name == custom_statistic for statistic in feature.custom_stats)


def _top(feature: statistics_pb2.FeatureNameStatistics) -> list[tuple[str, float]]:
    """Returns a categorical feature's most frequent values with their numbers, the most frequent first."""
    buckets = feature.string_stats.rank_histogram.buckets
    return sorted(((b.label, b.sample_count) for b in buckets), key=lambda item: -item[1])


def _chart(
    name: str,
    now: statistics_pb2.FeatureNameStatistics,
    before: statistics_pb2.FeatureNameStatistics | None,
    span: int,
    before_span: int | None,
) -> Figure | None:
    named = {f"span {span}": now}
    if before is not None and before.WhichOneof("stats") == now.WhichOneof("stats"):
        named[f"span {before_span}"] = before
    if now.HasField("num_stats"):
        return _numeric_chart(name, named)
    return _categorical_chart(name, named) if now.HasField("string_stats") else None


def _numeric_chart(name: str, named: Statistics) -> Figure | None:
    histograms = {series: _buckets(feature) for series, feature in named.items()}
    histograms = {series: buckets for series, buckets in histograms.items() if buckets}
    if not histograms:
        return None
    low = min(b[0] for buckets in histograms.values() for b in buckets)
    high = max(b[1] for buckets in histograms.values() for b in buckets)
    edges = np.linspace(low, high if high > low else low + 1, _NUM_BINS + 1)
    shares = {series: _rebinned(buckets, edges) for series, buckets in histograms.items()}
    data = [
        {"x": float(x), "y": float(y), "s": series}
        for series, values in shares.items()
        for x, y in zip(edges, [*values, 0.0], strict=True)
    ]
    rows = [
        (
            f"{numbers.short(edges[i])} to {numbers.short(edges[i + 1])}",
            *(numbers.percent(v[i]) for v in shares.values()),
        )
        for i in range(_NUM_BINS)
    ]
    means = "; ".join(f"mean {numbers.short(f.num_stats.mean)} in {series}" for series, f in named.items())
    table = Table(f"Share of values of {name}", ("value", *(f"#{series}" for series in shares)), rows)
    spec = charts.lines(data, "value", "share", histogram=True, series=list(shares))
    return Figure(name, f"Histogram of {name}; {means}.", spec, table)


def _buckets(feature: statistics_pb2.FeatureNameStatistics) -> list[tuple[float, float, float]]:
    """Returns low end, high end and number of values of the buckets of equal width; empty without finite values."""
    kind = statistics_pb2.Histogram.STANDARD
    for histogram in feature.num_stats.histograms:
        if histogram.type == kind:
            found = [(b.low_value, b.high_value, b.sample_count) for b in histogram.buckets]
            return [b for b in found if math.isfinite(b[0]) and math.isfinite(b[1])]
    return []


def _rebinned(buckets: Sequence[tuple[float, float, float]], edges: npt.NDArray[np.float64]) -> list[float]:
    """Returns the shares of values between the edges; a bucket's values are taken to be evenly spread in it."""
    lows, highs, counts = (np.array(column, np.float64) for column in zip(*buckets, strict=True))
    ends = np.concatenate([[lows[0]], highs])
    below = np.interp(edges, ends, np.concatenate([[0.0], np.cumsum(counts)])) / max(counts.sum(), 1)
    return [float(s) for s in np.diff(below)]


def _categorical_chart(name: str, named: Statistics) -> Figure | None:
    shares = {}
    for series, feature in named.items():
        total = _common(feature).tot_num_values
        shares[series] = {value: number / total for value, number in _top(feature)} if total else {}
    first = next(iter(shares.values()))
    values = list(first)[:_MAX_VALUES]
    if not values:
        return None
    data = [{"y": v, "x": of.get(v, 0.0), "s": series} for v in values for series, of in shares.items()]
    rows = [(v, *(numbers.percent(of.get(v, 0.0)) for of in shares.values())) for v in values]
    table = Table(f"Most frequent values of {name}", ("value", *(f"#{series}" for series in shares)), rows)
    top = ", ".join(f"{v} {numbers.percent(first[v])}" for v in values[:3])
    spec = charts.bars(data, "share of values", series=list(shares), stack=False, share=True)
    estimated = [series for series, feature in named.items() if _has(feature, ESTIMATED)]
    of_estimates = f" The shares in {' and '.join(estimated)} are at least so high." if estimated else ""
    return Figure(name, f"The most frequent values of {name}: {top}.{of_estimates}", spec, table)
