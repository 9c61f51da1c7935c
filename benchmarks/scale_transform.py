"""The cost of Transform, TFX's executor and the project's in one run: `python -m benchmarks.scale_transform`.

A simulated window of two days is ingested, and cut to two numbers of rows. Each executor analyzes and transforms both.
From the two, the cost before the first row and the cost per row follow, in processor seconds; imports are not part of
it. A third measurement has the first day's analysis in the cache, as a steady day does.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
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


@dataclasses.dataclass(frozen=True)
class Cost:
    """Processor seconds of a run, and the rows of its window."""

    seconds: float
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


def measure(config: Config, days: list[Path], sizes: tuple[int, int], folder: Path) -> Table:
    """Measures both executors; returns the table of results."""
    windows = []
    for size in sizes:
        cuts = [cut(day, folder / f"{size}-{i}", i + 1, size) for i, day in enumerate(days)]
        windows.append(([artifact for artifact, _ in cuts], sum(number for _, number in cuts)))
    table = Table(title=f"Transform of {config.name}, a window of two days, processor: {processor_model()}")
    for column in ("executor", "before the first row, CPU s", "per row, CPU ms", "the second day from a cache, CPU s"):
        table.add_column(column, justify="left" if column == "executor" else "right")
    for executor in (StockExecutor, TransformExecutor):
        run(executor, config, windows[0][0], folder / f"{executor.__name__}-warm")
        costs = []
        for number, (window, rows) in enumerate(windows):
            seconds, _ = run(executor, config, window, folder / f"{executor.__name__}-{number}")
            costs.append(Cost(seconds, rows))
        _, cache = run(executor, config, windows[1][0][:1], folder / f"{executor.__name__}-first")
        steady, _ = run(executor, config, windows[1][0], folder / f"{executor.__name__}-steady", cache)
        per_row = (costs[1].seconds - costs[0].seconds) / (costs[1].rows - costs[0].rows)
        fixed = costs[0].seconds - per_row * costs[0].rows
        name = "TFX's" if executor is StockExecutor else "the project's"
        table.add_row(name, f"{fixed:.1f}", f"{1000 * per_row:.3f}", f"{steady:.1f}")
    return table


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--rows", type=int, default=40_000, help="training rows of a day in the larger window")
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
        console_for(sys.stdout).print(measure(config, days, (500, args.rows), folder))


if __name__ == "__main__":
    main()
