"""What an evaluation costs in processor seconds: `python -m benchmarks.scale_evaluation --workspace WORKSPACE`.

TFX's executor of the Evaluator, with TFMA's extracts, and this project's, with columns, evaluate the same examples
with the same models, a candidate model and a baseline, each time in a process of its own. The cost of a row and model
is that of many rows minus that of few, by their difference and by the models; the fixed cost is what is left of that of
few. The models' own cost is that of scoring the same examples in batches, and nothing else. Imports are not counted.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import os
import platform
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from rich.table import Table

from benchmarks.served_model import CONFIG
from benchmarks.transformed import newest
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.cli.display import console_for
from pipeline.runner.run import run
from pipeline.simulator import simulate
from transform.config.config_file import load_config

NUM_IMPRESSIONS = 60_000
NUM_USERS = 3_000
NUM_APPS = 500
FEW = 500
NUM_MODELS = 2


@dataclasses.dataclass(frozen=True)
class Job:
    """An evaluation.

    Attributes:
      folder: A folder for the results.
      split: The folder of the examples' files.
      schema: The folder of the schema.
      models: The folders of the candidate model and the baseline.
      config: The deployment's config file.
    """

    folder: Path
    split: Path
    schema: Path
    models: tuple[Path, Path]
    config: Path


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a process used: processor seconds, and the largest memory in MiB."""

    seconds: float
    memory: float


def evaluate(job: Job, kind: str) -> Cost:
    """Evaluates with an executor, `stock` or `columns`."""
    # Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
    from tfx.components.evaluator.executor import Executor
    from tfx.types import artifact_utils, standard_artifacts

    from components.evaluation.executor import ColumnExecutor
    from components.evaluation.tfma_config import eval_config
    from tests.components.evaluation import stock_metrics

    config = load_config(job.config)
    settings = eval_config(
        config.evaluation,
        weighted=config.sources.impressions.weight is not None,
        has_requests=config.sources.impressions.request_id is not None,
        user=config.user,
    )

    def artifact(of_kind: type, path: Path) -> list[Any]:
        made = of_kind()
        made.uri = str(path)
        return [made]

    examples = artifact(standard_artifacts.Examples, job.split.parent)
    examples[0].split_names = artifact_utils.encode_split_names([job.split.name.removeprefix("Split-")])
    output = job.folder / f"evaluation-{kind}-{job.split.parent.name}"
    output.mkdir()
    executor = {"stock": Executor, "columns": ColumnExecutor}[kind]
    if kind == "stock":
        settings = stock_metrics.with_oracle(settings)
    context = executor.Context(beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir=str(job.folder), unique_id="1")
    start = time.process_time()
    executor(context).Do(
        {
            "examples": examples,
            "schema": artifact(standard_artifacts.Schema, job.schema),
            "model": artifact(standard_artifacts.Model, job.models[0]),
            "baseline_model": artifact(standard_artifacts.Model, job.models[1]),
        },
        {
            "evaluation": artifact(standard_artifacts.ModelEvaluation, output),
            "blessing": artifact(standard_artifacts.ModelBlessing, output),
        },
        {
            "eval_config": json_format.MessageToJson(settings, preserving_proto_field_name=True),
            "example_splits": '["eval"]',
            "module_path": stock_metrics.__name__,
        },
    )
    return Cost(time.process_time() - start, _memory())


def score(job: Job) -> Cost:
    """Scores the examples with both models in batches, without anything else."""
    from components.evaluation.scoring.scores import BATCH_SIZE, Scorer

    start = time.process_time()
    scorers = [Scorer(str(model / "Format-Serving")) for model in job.models]
    records = tf.data.TFRecordDataset(sorted(map(str, job.split.iterdir())), compression_type="GZIP")
    for batch in records.batch(BATCH_SIZE):
        for scorer in scorers:
            scorer(batch)
    return Cost(time.process_time() - start, _memory())


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_other_process(function: Any, *arguments: Any) -> Any:
    """Calls a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as process:
        return process.submit(function, *arguments).result()


def prepared(folder: Path, num_impressions: int) -> Path:
    """Simulates a store and runs the pipeline once; returns the workspace."""
    from pipeline.nodes.settings import RunSettings
    from pipeline.workspace import Workspace, new_run_id

    simulate(folder / "data", num_days=1, impressions_per_day=num_impressions, num_users=NUM_USERS, num_apps=NUM_APPS)
    workspace = Workspace.at(folder / "workspace")
    settings = RunSettings(str(folder / "data"), workspace)
    run(load_config(CONFIG), settings, new_run_id(), lambda event: print(f"{event.node_id}: {event.state}"))
    return folder / "workspace"


def write_examples(source: Path, split: Path, number: int) -> int:
    """Writes up to a number of an Examples folder's rows of all splits as one split; returns how many there are."""
    split.mkdir(parents=True)
    paths = sorted(str(path) for path in source.glob("Split-*/*"))
    records = tf.data.TFRecordDataset(paths, compression_type="GZIP").take(number)
    count = 0
    with tf.io.TFRecordWriter(
        str(split / "data_tfrecord-00000-of-00001.gz"), tf.io.TFRecordOptions(compression_type="GZIP")
    ) as writer:
        for record in records.as_numpy_iterator():
            writer.write(record)
            count += 1
    return count


def newest_models(folder: Path) -> tuple[Path, Path]:
    """Returns the newest two of the trained models, or the only one twice."""
    in_order = sorted(folder.iterdir(), key=lambda path: int(path.name))
    return in_order[-1], in_order[-2:][0]


def processor() -> str:
    """Returns the processor's model, as Linux names it."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores"


def results(workspace: Path, config: Path, folder: Path, rows: int) -> Table:
    """Measures, and returns a table."""
    artifacts = workspace / "artifacts"
    examples = newest(artifacts / "example_gen" / "examples")
    sizes = {
        name: write_examples(examples, folder / name / "Split-eval", number)
        for name, number in (("few", FEW), ("many", rows))
    }
    jobs = {
        name: Job(
            folder,
            folder / name / "Split-eval",
            newest(artifacts / "schema_gen" / "schema"),
            newest_models(artifacts / "trainer" / "model"),
            config,
        )
        for name in sizes
    }
    table = Table(title=f"an evaluation of {sizes['many']:,} and {sizes['few']:,} rows by {NUM_MODELS} models")
    for column in ("", "fixed, CPU-s", "ms a row and model", "CPU-s, all rows", "memory, MiB"):
        table.add_column(column, justify="right" if column else "left")
    calls = {
        "TFX's executor": (evaluate, "stock"),
        "columns": (evaluate, "columns"),
        "scoring alone": (score,),
    }
    for title, (function, *arguments) in calls.items():
        few, many = (in_other_process(function, jobs[name], *arguments) for name in ("few", "many"))
        of_row = (many.seconds - few.seconds) / (sizes["many"] - sizes["few"]) / NUM_MODELS
        fixed = few.seconds - of_row * sizes["few"] * NUM_MODELS
        table.add_row(title, f"{fixed:.1f}", f"{1000 * of_row:.4f}", f"{many.seconds:.1f}", f"{many.memory:,.0f}")
    return table


def main() -> None:
    """Prints the processor's model and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="of a run that has trained a model; without it, one is made")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the run's config file")
    parser.add_argument("--impressions", type=int, default=NUM_IMPRESSIONS, help="of the run that is made")
    parser.add_argument("--rows", type=int, default=NUM_IMPRESSIONS, help="at most this many rows are evaluated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = arguments.workspace or in_other_process(prepared, Path(folder), arguments.impressions)
        table = results(workspace, arguments.config, Path(folder), arguments.rows)
    console = console_for(sys.stdout)
    console.print(processor())
    console.print(table)


if __name__ == "__main__":
    main()
