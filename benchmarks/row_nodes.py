"""Runs a day of a simulated store with workers or without: seconds and memory of the nodes that read all rows.

`benchmarks.workers` and `benchmarks.workers_memory` start `main` in a process of its own, by `python -c`: workers run
the main module of the process that asked for them again, and a benchmark's imports take 2 s of processor time for each
worker and job, those of `wdr` 0.1 s.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from components.ingestion import transforms
from pipeline.beam_options import make_beam_args
from pipeline.beam_workers import forked
from pipeline.create import create_pipeline
from pipeline.nodes.names import PROGRESSIVE_VALIDATION
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline, launch_node, release_free_memory
from pipeline.simulator import simulate
from pipeline.workspace import Workspace, new_run_id
from transform.config.beam import Beam
from transform.config.config_file import load_config

CONFIG = Path(__file__).parents[1] / "configs" / "app_store.yaml"

#: The nodes that read all rows; the last one ends a day.
NODES = ("example_gen", "statistics_gen", "late_labels", PROGRESSIVE_VALIDATION, "transform", "evaluator")

#: How often the memory of processes is looked at.
_LOOK_SECONDS = 0.1

_DATA, _FIRST, _WORK = "data", "first", "work"


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to run the nodes: so many workers on so many cores; one worker is the node's own process."""

    workers: int
    cores: int

    def __str__(self) -> str:
        return f"{self.workers} on {self.cores}"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of a day.

    Attributes:
      start_seconds: The seconds until workers can be forked, which a process takes once.
      seconds: Each node's seconds by the clock.
      node_bytes: The most anonymous memory of the node's process, beyond that after its imports, by node.
      worker_bytes: The same of the worker that had most; 0 for a node without workers.
    """

    start_seconds: float
    seconds: Mapping[str, float]
    node_bytes: Mapping[str, int]
    worker_bytes: Mapping[str, int]


def prepare(folder: Path, impressions: int) -> None:
    """Simulates two days of so many impressions each, and runs the first one, which trains a model.

    Its users and apps do not depend on the number of impressions.
    """
    for day in (1, 2):
        simulate(
            folder / _DATA,
            first_day=day,
            num_days=1,
            impressions_per_day=impressions,
            num_users=50_000,
            num_apps=5_000,
        )
    _start(folder, Way(1, os.cpu_count() or 1), 1, 0)
    (folder / _WORK).rename(folder / _FIRST)


def second_day(folder: Path, way: Way, shard_bytes: int = 0) -> Measured:
    """Runs the second day up to the Evaluator, after `prepare`.

    Args:
      folder: The folder of `prepare`.
      way: How the nodes are run.
      shard_bytes: Bytes of log files per shard; 0 as shipped.
    """
    shutil.rmtree(folder / _WORK, ignore_errors=True)  # the paths in ML Metadata are those of the first day
    shutil.copytree(folder / _FIRST, folder / _WORK)
    return Measured(**_start(folder, way, 2, shard_bytes))


def _start(folder: Path, way: Way, day: int, shard_bytes: int) -> dict[str, Any]:
    code = "from benchmarks.row_nodes import main; main()"
    numbers = map(str, (way.workers, way.cores, day, shard_bytes))
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *numbers],
        check=True,
        stdout=subprocess.PIPE,
        env={"TF_USE_LEGACY_KERAS": "1"} | os.environ,  # as `wdr` does
        cwd=Path(__file__).parents[1],
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


class _Memory:
    """Looks at the anonymous memory of this process and of the workers, in a thread; what maps files is not counted."""

    def __init__(self) -> None:
        self.node_bytes: dict[str, int] = collections.defaultdict(int)
        self.worker_bytes: dict[str, int] = collections.defaultdict(int)
        self.node = ""
        self._before = {os.getpid(): _anonymous(os.getpid())}
        # What workers share with the process that forks them is there after its imports.
        forking = [child.pid for child in psutil.Process().children()]
        self._imports = max(map(_anonymous, forking), default=0)
        self._others = {os.getpid(), *forking}
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            own = _anonymous(os.getpid()) - self._before[os.getpid()]
            self.node_bytes[self.node] = max(self.node_bytes[self.node], own)
            for child in psutil.Process().children(recursive=True):
                if child.pid not in self._others:
                    beyond = _anonymous(child.pid) - self._imports
                    self.worker_bytes[self.node] = max(self.worker_bytes[self.node], beyond)
            time.sleep(_LOOK_SECONDS)


def _anonymous(pid: int) -> int:
    """Returns the bytes of a process's anonymous memory; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Anonymous:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Runs a day's nodes; the last line that it prints is `Measured`, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name in ("workers", "cores", "day", "shard_bytes"):
        parser.add_argument(name, type=int)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    if args.shard_bytes:
        transforms.SHARD_BYTES = args.shard_bytes
    started = time.monotonic()
    if args.workers > 1:
        forked.prepare()
    start_seconds, memory = time.monotonic() - started, _Memory()
    config = load_config(CONFIG)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, num_epochs=1))
    workspace, beam = Workspace.at(args.folder / _WORK), make_beam_args(Beam(num_workers=args.workers))
    pipeline = create_pipeline(config, RunSettings(str(args.folder / _DATA), workspace, args.day))
    compiled = compile_pipeline(pipeline, new_run_id())
    seconds = {}
    for node in compiled.nodes:
        memory.node = node.pipeline_node.node_info.id
        seconds[memory.node] = launch_node(compiled, memory.node, workspace.metadata_connection(), beam).seconds
        release_free_memory()
        if args.day > 1 and memory.node == NODES[-1]:
            break
    measured = Measured(
        start_seconds,
        {name: seconds.get(name, 0.0) for name in NODES},
        {name: memory.node_bytes.get(name, 0) for name in NODES},
        {name: memory.worker_bytes.get(name, 0) for name in NODES},
    )
    print(json.dumps(dataclasses.asdict(measured)))
