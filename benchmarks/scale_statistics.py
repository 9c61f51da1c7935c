"""The cost of statistics, TFX's executor and the project's in one run: `python -m benchmarks.scale_statistics`.

A simulated day is ingested, and cut to two numbers of rows. Each executor computes the statistics of both, in turns.
From the two, the cost before the first row and the cost per row follow, in processor seconds; imports are not part of
it, and of several turns the median is taken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.statistics_gen.executor import Executor as StockExecutor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact

from benchmarks.machine import processor_model
from benchmarks.scale_transform import cut
from benchmarks.transformed import ingest_span
from components.statistics.component import ColumnStatisticsExecutor
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from tests.components.statistics.statistics_runs import run
from transform.config.config_file import load_config

EXECUTORS = {"TFX's": StockExecutor, "columns": ColumnStatisticsExecutor}
FEW = 500


def to_seconds(executor: type[BaseBeamExecutor], examples: Artifact, folder: Path) -> float:
    """Returns an executor's processor seconds."""
    start = time.process_time()
    run(executor, examples, folder)
    return time.process_time() - start


def measure(day: Path, rows: int, turns: int, folder: Path) -> Table:
    """Measures both executors; returns the table of results."""
    few, many = (cut(day, folder / f"rows-{size}", 1, size) for size in (FEW, rows))
    table = Table(title=f"statistics of {many[1]:,} and {few[1]:,} rows, processor: {processor_model()}")
    for column in ("executor", "before the first row, CPU s", "per row, CPU µs", "the least and most per row"):
        table.add_column(column, justify="left" if column == "executor" else "right")
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in EXECUTORS}
    for turn in range(turns + 1):
        for number, (name, executor) in enumerate(EXECUTORS.items()):
            of_few, of_many = (
                to_seconds(executor, examples, folder / f"{turn}-{number}-{count}") for examples, count in (few, many)
            )
            per_row = (of_many - of_few) / (many[1] - few[1])
            if turn:  # the first warms up
                costs[name].append((of_few - per_row * few[1], per_row))
    for name, of_turns in costs.items():
        fixed, per_row = (statistics.median(column) for column in zip(*of_turns, strict=True))
        low, high = (1e6 * how(of_row for _, of_row in of_turns) for how in (min, max))
        table.add_row(name, f"{fixed:.1f}", f"{1e6 * per_row:.1f}", f"{low:.1f} to {high:.1f}")
    return table


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--rows", type=int, default=80_000, help="training rows of the larger number")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each executor")
    parser.add_argument("--examples", type=Path, help="a folder of a day's examples; without it, a day is simulated")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        day = args.examples
        if day is None:
            users = max(args.rows // 10, 100)
            simulate(
                folder / "data", num_days=1, impressions_per_day=args.rows * 3 // 2, num_users=users, num_apps=1000
            )
            day = ingest_span(load_config(args.config), folder / "data", folder / "workspace", 1)
        console_for(sys.stdout).print(measure(day, args.rows, args.turns, folder))


if __name__ == "__main__":
    main()
