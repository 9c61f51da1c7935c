"""Formats the result of infra validation: the model's cost next to the baseline's, and its skew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from components.infra_validation.verdict import Measurements, Verdict


def infra_rows(verdict: Verdict) -> Iterator[tuple[str, RenderableType]]:
    """Yields the rows (what, how much) of a verdict."""
    measured = {"candidate": verdict.candidate, "baseline": verdict.baseline}
    costs = {name: cost for name, cost in measured.items() if cost is not None}
    if costs:
        yield "200 candidates", _latency(costs)
        yield "cost", "; ".join(f"{name}: {_cost(cost)}" for name, cost in costs.items())
    if verdict.machine:
        yield "  meanwhile", verdict.machine
    if why := verdict.baseline_problem:
        yield "  not measured", escape(f"the baseline: {why}")
    skews = {
        "logged and changed rows": verdict.row_skew,
        "ranked ones": verdict.rank_skew,
        "evaluation examples": verdict.eval_skew,
    }
    if found := [f"{s.largest_difference:.1e} on {s.num_rows:,} {what}" for what, s in skews.items() if s is not None]:
        yield "skew", f"scores differ from the trainer's by at most {', '.join(found)}"
    if by_signature := verdict.catalog_skew:
        worst = max(skew.largest_difference for skew in by_signature.values())
        num_candidates = next(iter(by_signature.values())).num_rows
        yield (
            "ranking",
            f"scores by {', '.join(by_signature)} from context and ids differ from those of whole examples by at most "
            f"{worst:.1e} on {num_candidates:,} candidates, of {verdict.num_catalog_items:,} items of the catalog",
        )


def _latency(costs: Mapping[str, Measurements]) -> RenderableType:
    """Returns the latencies as a table: the paper's table 2, as 95th percentiles."""
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("signature", no_wrap=True)
    for column in ("batch size", "threads", "p95 ms"):
        table.add_column(column, justify="right")
    for name, cost in costs.items():
        for row in cost.latency:
            table.add_row(name, cost.signature, str(row.batch_size), str(row.threads), f"{row.p95_ms:.1f}")
    return table


def _cost(cost: Measurements) -> str:
    return (
        f"{cost.load_seconds:.1f} s to load, {cost.memory_mb:.0f} MB of memory "
        f"({cost.peak_memory_mb:.0f} MB with TensorFlow), {cost.size_mb:.1f} MB of files"
    )
