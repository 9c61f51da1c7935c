"""The cost of each step that transforms an example, analysis left out: `python -m benchmarks.transform_steps`.

A day of the simulated store is ingested and analyzed. Its training examples are then read, parsed, transformed,
serialized and written, in several turns. Each step is done for all examples before the next step. Parsing is
measured twice, alone and together with the graph.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from rich.table import Table

from benchmarks.machine import processor_model
from benchmarks.scale_transform import spread
from benchmarks.transformed import newest, transform_span
from components.examples.reading import example_batches, split_files
from components.examples.writing import write_records
from components.transform_executor.batches import BATCH_SIZE
from components.transform_executor.materialization import Materialization, serialized
from pipeline.cli.display import console_for
from pipeline.nodes.names import EXAMPLE_GEN
from pipeline.simulator import simulate
from transform.config.config import Config
from transform.config.config_file import load_config


class Steps:
    """The steps for some files of raw examples.

    Attributes:
      num_rows: The number of examples.
      output: The file that `costs` writes.

    Args:
      files: The files.
      materialization: What transforms them.
      feature_spec: How they are parsed.
      output: The file to write.
    """

    def __init__(self, files: list[str], materialization: Materialization, feature_spec: dict[str, Any], output: Path):
        self._files, self._feature_spec, self.output = files, feature_spec, output
        self._materialization = materialization
        self.num_rows = sum(len(batch) for batch in self._read())

    def _read(self) -> list[tf.Tensor]:
        return list(example_batches(self._files, BATCH_SIZE))

    def costs(self) -> dict[str, float]:
        """Runs each step once; returns its processor time in microseconds a row."""
        costs = {}

        def timed(step: str, function: Callable[[], Any]) -> Any:
            start = time.process_time()
            result = function()
            costs[step] = (time.process_time() - start) / self.num_rows * 1e6
            return result

        batches = timed("read and decompress", self._read)
        timed("parse", lambda: [tf.io.parse_example(batch, self._feature_spec) for batch in batches])
        transformed = timed("parse, and run the graph", lambda: list(map(self._materialization.transform, batches)))
        records = timed("serialize", lambda: list(map(serialized, transformed)))
        timed("write and compress", lambda: write_records(str(self.output), iter(records)))
        return costs


def prepare(config: Config, folder: Path) -> Steps:
    """Runs the pipeline up to Transform on the logs in `data` of a folder; returns the steps of its examples."""
    workspace = folder / "workspace"
    found = transform_span(config, folder / "data", workspace)
    examples = newest(workspace / "artifacts" / EXAMPLE_GEN / "examples")
    output = tft.TFTransformOutput(str(found.graph))
    feature_spec = output.raw_feature_spec()
    materialization = Materialization(output, feature_spec, config.spec.crossed_lists())
    return Steps(split_files(str(examples / "Split-train")), materialization, feature_spec, folder / "transformed.gz")


def measure(config: Config, steps: Steps, turns: int) -> Table:
    """Measures the steps; returns the table of results."""
    steps.costs()  # the first run traces the graph
    costs = [steps.costs() for _ in range(turns)]
    table = Table(title=f"Transforming {steps.num_rows:,} examples of {config.name}, {turns} turns")
    table.caption = f"medians (least to most), processor: {processor_model()}"
    table.add_column("step")
    table.add_column("CPU µs an example", justify="right")
    for step in costs[0]:
        table.add_row(step, spread([of_turn[step] for of_turn in costs], 1))
    return table


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--impressions", type=int, default=200_000, help="impressions of the day")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each step")
    args = parser.parse_args()
    config = load_config(args.config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        users = max(args.impressions // 10, 100)
        simulate(folder / "data", num_days=1, impressions_per_day=args.impressions, num_users=users, num_apps=1000)
        console_for(sys.stdout).print(measure(config, prepare(config, folder), args.turns))


if __name__ == "__main__":
    main()
