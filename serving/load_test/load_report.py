"""A load test's report as a table, as JSON and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from serving.load_test.load import LoadReport

PERCENTILES = (50, 90, 95, 99, 99.9, 100)


def load_table(report: LoadReport) -> Table:
    """Makes a table of percentiles, rates and errors."""
    table = Table(title=f"{report.rate:g} requests/s for {report.seconds:.1f} s", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for percent in PERCENTILES:
        name = "slowest" if percent == 100 else f"p{percent:g}"
        table.add_row(name, f"{report.percentile(percent):.2f} ms" if report.latencies else "-")
    table.add_section()
    table.add_row("requests answered", f"{len(report.latencies):,}")
    table.add_row("candidates/s", f"{report.candidates_per_second:,.0f}")
    table.add_row("versions", ", ".join(map(str, sorted(report.versions))) or "-")
    if report.num_older:
        table.add_row("answers of an older version", f"{report.num_older:,}")
    for code, number in report.errors.most_common():
        table.add_row(code, f"{number:,}")
    return table


def load_json(report: LoadReport) -> dict[str, Any]:
    """Makes a JSON object of the same figures."""
    return {
        "requests_per_second": report.rate,
        "seconds": report.seconds,
        "milliseconds": {f"p{p:g}": report.percentile(p) for p in PERCENTILES} if report.latencies else {},
        "num_answered": len(report.latencies),
        "candidates_per_second": report.candidates_per_second,
        "versions": sorted(report.versions),
        "num_older": report.num_older,
        "errors": dict(report.errors),
    }


def plot_load(reports: Sequence[LoadReport], path: str) -> None:
    """Plots latency by percentile and over time; the file name's extension sets the image format.

    Args:
      reports: One or several reports; each is one curve.
      path: The file to write.
    """
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    by_percentile, by_time = figure.subplots(1, 2)
    for report in reports:
        milliseconds = sorted(latency for _, latency in report.latencies)
        # The axis is 1 / (1 - p): 10 is the 90th percentile, 100 the 99th, so each decade adds a nine.
        tails = [len(milliseconds) / (len(milliseconds) - i) for i in range(len(milliseconds))]
        name = f"{report.rate:g} requests/s"
        by_percentile.step(tails, milliseconds, where="post", label=name)
        by_time.plot(*zip(*report.latencies, strict=True), ".", markersize=3, label=name)
    ticks = [1, 2, 10, 100, 1_000]
    by_percentile.set_xscale("log")
    by_percentile.set_xticks(ticks, [f"{100 - 100 / tick:g} %" for tick in ticks])
    by_percentile.set_xlabel("percentile")
    by_time.set_xlabel("seconds, when the request was to be sent")
    for axes in (by_percentile, by_time):
        axes.set_ylabel("latency, ms")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)
