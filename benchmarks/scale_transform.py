"""The cost of Transform, TFX's executor and the project's in one run: `python -m benchmarks.scale_transform`.

A simulated window of two days is ingested, and cut to two numbers of rows. Each executor analyzes and transforms both.
From the two, the cost before the first row and the cost per row follow, in processor seconds; imports are not part of
it. A third measurement has the first day's analysis in the cache, as a steady day does. Of several turns, in which the
executors alternate, the median is taken.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from rich.table import Table

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.transform.executor import Executor as StockExecutor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact

from benchmarks.machine import processor_model
from benchmarks.transformed import ingest_span
from components.transforming.executor import TransformExecutor
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from tests.components.transforming.transform_runs import examples, execute
from transform.config.config import Config, load_config

SPLITS = ("train", "eval")


#: By their names in the table.
EXECUTORS = {"TFX's": StockExecutor, "the project's": TransformExecutor}


@dataclasses.dataclass(frozen=True)
class Window:
    """The examples of two days, and their number."""

    examples: list[Artifact]
    rows: int


def cut(day: Path, folder: Path, span: int, rows: int) -> tuple[Artifact, int]:
    """Copies the first rows of a day's splits; returns the examples and the number of rows."""
    kept = {}
    for split in SPLITS:
        files = sorted(str(path) for path in (day / f"Split-{split}").iterdir())
        some = tf.data.TFRecordDataset(files, "GZIP").take(rows if split == "train" else rows // 4)
        kept[split] = list(some.as_numpy_iterator())
    artifact = examples(folder, span, {split: [of_split] for split, of_split in kept.items()})
    return artifact, sum(map(len, kept.values()))


def run(
    executor: type[BaseBeamExecutor],
    config: Config,
    window: list[Artifact],
    folder: Path,
    cache: Artifact | None = None,
) -> tuple[float, Artifact]:
    """Runs an executor; returns its processor seconds and the analyzers' cache that it wrote."""
    start = time.process_time()
    outputs = execute(executor, config, window, folder, cache)
    return time.process_time() - start, outputs["updated_analyzer_cache"][0]


@dataclasses.dataclass(frozen=True)
class Costs:
    """An executor's costs of one turn, in processor seconds.

    Attributes:
      fixed: Of a run before its first row.
      per_row: Of a row of the window.
      cached: Of a run of the larger window whose first day is in the analyzers' cache.
    """

    fixed: float
    per_row: float
    cached: float


def costs_of(executor: type[BaseBeamExecutor], config: Config, windows: Sequence[Window], folder: Path) -> Costs:
    """Runs an executor on a smaller and a larger window, and on the larger one with the first day from the cache."""
    few, many = (
        run(executor, config, window.examples, folder / f"window-{number}")[0] for number, window in enumerate(windows)
    )
    larger = windows[1].examples
    _, cache = run(executor, config, larger[:1], folder / "first")
    cached, _ = run(executor, config, larger, folder / "cached", cache)
    per_row = (many - few) / (windows[1].rows - windows[0].rows)
    return Costs(few - per_row * windows[0].rows, per_row, cached)


def measure(config: Config, days: list[Path], sizes: tuple[int, int], turns: int, folder: Path) -> Table:
    """Measures both executors in turns; returns the table of results."""
    windows = []
    for size in sizes:
        cuts = [cut(day, folder / f"{size}-{i}", i + 1, size) for i, day in enumerate(days)]
        windows.append(Window([artifact for artifact, _ in cuts], sum(number for _, number in cuts)))
    table = Table(
        title=f"Transform of {config.name}, {windows[0].rows:,} and {windows[1].rows:,} rows, {turns} turns, "
        f"processor: {processor_model()}"
    )
    table.add_column("executor")
    for column in (
        "before the first row, CPU s",
        "per row, CPU ms",
        "the least and most per row",
        "the second day from a cache, CPU s",
    ):
        table.add_column(column, justify="right")
    costs: dict[str, list[Costs]] = {name: [] for name in EXECUTORS}
    for executor in EXECUTORS.values():
        run(executor, config, windows[0].examples, folder / f"{executor.__name__}-warm")
    for turn in range(turns):
        for name, executor in EXECUTORS.items():
            costs[name].append(costs_of(executor, config, windows, folder / f"{executor.__name__}-{turn}"))
    for name, of_turns in costs.items():
        per_row = [1000 * turn.per_row for turn in of_turns]
        table.add_row(
            name,
            f"{statistics.median(turn.fixed for turn in of_turns):.1f}",
            f"{statistics.median(per_row):.3f}",
            f"{min(per_row):.3f} to {max(per_row):.3f}",
            f"{statistics.median(turn.cached for turn in of_turns):.1f}",
        )
    return table


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--rows", type=int, default=40_000, help="training rows of a day in the larger window")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each executor")
    args = parser.parse_args()
    config = load_config(args.config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(
            folder / "data",
            num_days=2,
            impressions_per_day=args.rows * 3 // 2,
            num_users=max(args.rows // 10, 100),
            num_apps=1000,
        )
        days = [ingest_span(config, folder / "data", folder / "workspace", span) for span in (1, 2)]
        console_for(sys.stdout).print(measure(config, days, (500, args.rows), args.turns, folder))


if __name__ == "__main__":
    main()
