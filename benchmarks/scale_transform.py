"""The cost of Transform, TFX's executor and the project's in one run: `python -m benchmarks.scale_transform`.

A simulated window of two days is ingested, and cut to two numbers of rows. Each executor analyzes and transforms both.
From the two, the cost before the first row and the cost per row follow, in processor seconds; imports are not part of
it. A third case has the first day's analysis in the cache, as a steady day has. The cases alternate in several turns.
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
from components.transform_executor.executor import TransformExecutor
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from tests.components.transform_executor.transform_runs import examples, execute
from transform.config.config import Config
from transform.config.config_file import load_config

SPLITS = ("train", "eval")


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


def of_whole_window(executor: type[BaseBeamExecutor], config: Config, window: list[Artifact], folder: Path) -> float:
    """Returns the processor seconds of a run that analyzes both days."""
    return run(executor, config, window, folder / "run")[0]


def of_steady_day(executor: type[BaseBeamExecutor], config: Config, window: list[Artifact], folder: Path) -> float:
    """Returns the processor seconds of a run that has the first day's analysis from the cache."""
    _, cache = run(executor, config, window[:1], folder / "first")
    return run(executor, config, window, folder / "run", cache)[0]


#: By the name in the table, an executor and what is measured.
CASES = {
    "TFX's, both days analyzed": (StockExecutor, of_whole_window),
    "the project's, both days analyzed": (TransformExecutor, of_whole_window),
    "the project's, a steady day": (TransformExecutor, of_steady_day),
}


def measure(config: Config, days: list[Path], sizes: tuple[int, int], turns: int, folder: Path) -> Table:
    """Measures all cases in turns; returns the table of results."""
    windows = []
    for size in sizes:
        cuts = [cut(day, folder / f"{size}-{i}", i + 1, size) for i, day in enumerate(days)]
        windows.append(Window([artifact for artifact, _ in cuts], sum(number for _, number in cuts)))
    few, many = windows
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for turn in range(turns + 1):
        for number, (name, (executor, seconds_of)) in enumerate(CASES.items()):
            place = folder / f"{number}-{turn}"
            of_few = seconds_of(executor, config, few.examples, place / "few")
            if turn:  # the first run of an executor warms up
                of_many = seconds_of(executor, config, many.examples, place / "many")
                per_row = (of_many - of_few) / (many.rows - few.rows)
                costs[name].append((of_few - per_row * few.rows, 1000 * per_row))
    table = Table(title=f"Transform of {config.name}, windows of {few.rows:,} and {many.rows:,} rows, {turns} turns")
    table.caption = f"medians (least to most), processor: {processor_model()}"
    table.add_column("executor")
    for column in ("before the first row, CPU s", "per row of the window, CPU ms"):
        table.add_column(column, justify="right")
    for name, of_turns in costs.items():
        of_runs, of_rows = zip(*of_turns, strict=True)
        table.add_row(name, spread(of_runs, 1), spread(of_rows, 3))
    return table


def spread(values: Sequence[float], digits: int) -> str:
    """Returns the median, the least and the most of some values as text."""
    median, least, most = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least} to {most})"


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--rows", type=int, default=40_000, help="training rows of a day in the larger window")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each case")
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
