"""The speed of the nodes that read all rows with two workers: `python -m benchmarks.workers --impressions 2000000`.

A simulated store's first day, a small one, trains a model; of the second, the nodes run up to Transform. Three ways,
each with a workspace and a process of its own: one process on one core, one process on two cores, and two workers on
two cores. Prints the nodes' seconds by the clock, the two workers' speed divided by that of the others, and the seconds
until workers can be forked, which a process takes once.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from benchmarks.machine import processor_model
from pipeline.beam_options import make_beam_args
from pipeline.beam_workers import forked
from pipeline.cli.display import console_for
from pipeline.create import create_pipeline
from pipeline.nodes.names import PROGRESSIVE_VALIDATION
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline, launch_node
from pipeline.runner.run import run
from pipeline.simulator import simulate
from pipeline.workspace import Workspace, new_run_id
from transform.config.beam import Beam
from transform.config.config_file import load_config

CONFIG = Path(__file__).parents[1] / "configs" / "app_store.yaml"
FIRST_DAY = 20_000
_START = "start of the workers"
NODES = ("example_gen", "statistics_gen", "late_labels", PROGRESSIVE_VALIDATION, "transform")


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to run the nodes: so many workers on so many cores; one worker is the node's own process."""

    workers: int
    cores: int

    def __str__(self) -> str:
        return f"{self.workers} on {self.cores}"


ONE_CORE, TWO_CORES, WORKERS = WAYS = (Way(1, 1), Way(1, 2), Way(2, 2))


def measure(way: Way, data: Path, folder: Path) -> dict[str, float]:
    """Runs both days; returns the seconds of the second day's nodes, and under `_START` those of the workers' start."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: way.cores])
    config = load_config(CONFIG)
    beam = Beam(num_workers=way.workers)
    workspace = Workspace.at(folder)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, num_epochs=1))
    run(config, RunSettings(str(data), workspace, 1), new_run_id(), lambda event: None)
    started = time.monotonic()
    if way.workers > 1:
        forked.prepare()
    seconds = {_START: time.monotonic() - started}
    compiled = compile_pipeline(create_pipeline(config, RunSettings(str(data), workspace, 2)), new_run_id())
    for node in compiled.nodes:
        node_id = node.pipeline_node.node_info.id
        seconds[node_id] = launch_node(compiled, node_id, workspace.metadata_connection(), make_beam_args(beam)).seconds
        if node_id == "transform":
            break
    return {name: seconds[name] for name in (_START, *NODES)}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impressions", type=int, default=2_000_000, help="of the second day")
    parser.add_argument("--folder", type=Path, help="keep logs and workspaces here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        for day, number in ((1, FIRST_DAY), (2, args.impressions)):
            simulate(
                folder / "data", first_day=day, num_days=1, impressions_per_day=number, num_users=50_000, num_apps=5_000
            )
        found = {}
        for way in WAYS:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
                work = folder / f"{way.workers}-{way.cores}"
                found[way] = process.submit(measure, way, folder / "data", work).result()
    table = Table(title=f"{args.impressions:,} impressions, workers on cores; {processor_model()}", box=None)
    for column in ("node", *(f"{way}, s" for way in WAYS), "speed to one core", "speed to one process"):
        table.add_column(column, justify="left" if column == "node" else "right")
    for node in (_START, *NODES):
        row = [found[way][node] for way in WAYS]
        ratios = [f"{seconds / row[-1]:.2f}" for seconds in row[:-1]] if node in NODES else ["", ""]
        table.add_row(node, *(f"{seconds:.1f}" for seconds in row), *ratios)
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
