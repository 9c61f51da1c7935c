"""The cost of Transform, TFX's executor and the project's in one run: `python -m benchmarks.scale_transform`.

A simulated window of two days is ingested, and cut to two numbers of rows. Each executor analyzes and transforms both.
From the two, the cost before the first row and the cost per row follow, in processor seconds; imports are not part of
it. A third measurement has the first day's analysis in the cache, as a steady day does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf
from google.protobuf import json_format
from rich.table import Table

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.transform.executor import Executor as StockExecutor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import transform_pb2
from tfx.types import Artifact, artifact_utils, standard_artifacts

from benchmarks.machine import processor_model
from benchmarks.transformed import ingest_span
from components.artifact_types import VocabularyMemory
from components.transforming.executor import TransformExecutor
from pipeline.cli.display import console_for
from pipeline.create import LOCAL_BEAM_ARGS, PREPROCESSING_FN
from pipeline.simulator import simulate
from transform.config.config import Config, load_config
from transform.preprocessing import CONFIG_KEY
from transform.schema import schema_text

SPLITS = ("train", "eval")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Processor seconds of a run, and the rows of its window."""

    seconds: float
    rows: int


def cut(examples: Path, folder: Path, span: int, rows: int) -> tuple[Artifact, int]:
    """Copies the first rows of a day's splits; returns the examples and the number of rows."""
    number = 0
    for split in SPLITS:
        (folder / f"Split-{split}").mkdir(parents=True)
        files = sorted(str(path) for path in (examples / f"Split-{split}").iterdir())
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data-00000-of-00001.gz"), "GZIP") as writer:
            for row in tf.data.TFRecordDataset(files, "GZIP").take(rows if split == "train" else rows // 4):
                writer.write(row.numpy())
                number += 1
    artifact = _artifact(standard_artifacts.Examples, folder)
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    artifact.set_int_custom_property("span", span)
    return artifact, number


def _artifact(kind: type[Artifact], folder: Path) -> Artifact:
    artifact = kind()
    artifact.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return artifact


def run(
    executor: type[BaseBeamExecutor],
    config: Config,
    window: list[Artifact],
    folder: Path,
    cache: Artifact | None = None,
) -> tuple[float, Artifact]:
    """Runs an executor; returns its processor seconds and the analyzers' cache that it wrote."""
    schema = _artifact(standard_artifacts.Schema, folder / "schema")
    (folder / "schema" / "schema.pbtxt").write_text(schema_text(config))
    outputs = {
        "transform_graph": [_artifact(standard_artifacts.TransformGraph, folder / "graph")],
        "transformed_examples": [_artifact(standard_artifacts.Examples, folder / "transformed")],
        "updated_analyzer_cache": [_artifact(standard_artifacts.TransformCache, folder / "cache")],
        "updated_memory": [_artifact(VocabularyMemory, folder / "memory")],
    }
    inputs = {"examples": window, "schema": [schema]} | ({"analyzer_cache": [cache]} if cache else {})
    parameters = {
        "preprocessing_fn": PREPROCESSING_FN,
        "custom_config": json.dumps({CONFIG_KEY: config.to_json()}),
        "splits_config": json_format.MessageToJson(
            transform_pb2.SplitsConfig(analyze=["train"], transform=list(SPLITS))
        ),
        "force_tf_compat_v1": 0,
        "disable_statistics": 1,
    }
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    start = time.process_time()
    executor(context).Do(inputs, outputs, parameters)
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
