"""Measures a steady day at several sizes: time, processor time and memory of each stage, and what the run keeps.

    python -m benchmarks.scale --folder FOLDER --impressions 100000 1000000 --days 3

For each number of impressions a day, simulates a store and runs its days, grouped into tasks as by `wdr compile
--group`, with the shipped config (a window of two spans) and one epoch of batches of 1,024. The last day is steady if
it is the third or a later one. Each day is written to FOLDER as soon as it has run, and a day that is there does not
run again, so that the sizes can be measured one after another; a size whose day was interrupted starts again. The
marginal cost of a stage is its processor time per
impression between two sizes; it is linear if that of the larger sizes is no higher than that of the smaller ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import processor_model
from benchmarks.tasks import CompiledDays, Task
from pipeline.simulator import simulate
from transform.config.config import Config, load_config

_IMPRESSIONS_PER_USER = 20


def config_of(path: Path) -> Config:
    """Returns a config with one epoch of batches of 1,024, so that the steps are in proportion to the rows."""
    config = load_config(path)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=1024, num_epochs=1))


def measure(config: Config, folder: Path, impressions: int, days: int) -> None:
    """Simulates and runs the days of one size that have not run yet."""
    size = folder / str(impressions)
    running = size / "running"
    if running.exists():  # a run that was interrupted continues with the nodes that are left, and would cost less
        shutil.rmtree(size)
    pipeline = CompiledDays(config, size, size / "data", group=True)
    for day in range(1, days + 1):
        result = size / f"day-{day}.json"
        if result.exists():
            continue
        if not (size / "data" / "impressions" / f"day-{day}" / "_SUCCESS").exists():
            simulate(
                size / "data",
                first_day=day,
                num_days=1,
                impressions_per_day=impressions,
                num_users=impressions // _IMPRESSIONS_PER_USER,
                num_apps=max(1_000, impressions // 500),
            )
        running.touch()
        before = _num_bytes(pipeline.workspace)
        while pipeline.run_next(day):
            task = pipeline.tasks[day][-1]
            print(f"{impressions:,}, day {day}: {task.nodes[0]} {task.seconds:.0f} s", flush=True)
        kept = _num_bytes(pipeline.workspace) - before
        document = {"processor": processor_model(), "kept": kept, "tasks": [t._asdict() for t in pipeline.tasks[day]]}
        result.write_text(json.dumps(document, indent=1), encoding="utf-8")
        running.unlink()


def _num_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def read_day(path: Path) -> tuple[list[Task], int, str]:
    """Returns a day's tasks, the bytes that its run keeps, and the processor's model."""
    document = json.loads(path.read_text(encoding="utf-8"))
    tasks = [Task(**{**task, "nodes": tuple(task["nodes"])}) for task in document["tasks"]]
    return tasks, document["kept"], document["processor"]


def table_of(folder: Path, sizes: Sequence[int], day: int) -> Table:
    """Returns the stages' costs at each size, and their marginal costs from each size to the next."""
    by_size = {size: read_day(folder / str(size) / f"day-{day}.json") for size in sizes}
    processors = sorted({processor for _, _, processor in by_size.values()})
    table = Table(title=f"day {day}; {'; '.join(processors)}", box=None)
    table.add_column("task, by its first node")
    for size in sizes:
        for unit in ("s", "CPU s", "GB largest", "GB all"):
            table.add_column(f"{size:,}: {unit}", justify="right")
    for smaller, larger in itertools.pairwise(sizes):
        table.add_column(f"CPU µs an impression, {smaller:,} to {larger:,}", justify="right")
    for of_stage in zip(*(tasks for tasks, _, _ in by_size.values()), strict=True):
        table.add_row(of_stage[0].nodes[0], *_cells(of_stage, sizes))
    totals = [_total(tasks) for tasks, _, _ in by_size.values()]
    table.add_row("all", *_cells(totals, sizes))
    kept = [cell for _, num_bytes, _ in by_size.values() for cell in ("", "", "", f"{num_bytes / 1e9:.2f}")]
    table.add_row("kept on disk, GB", *kept, *[""] * (len(sizes) - 1))
    return table


def _total(tasks: Sequence[Task]) -> Task:
    """Returns the times of tasks together, and their largest memory."""
    seconds, user, system = (sum(column) for column in list(zip(*tasks, strict=True))[1:4])
    return Task((), seconds, user, system, max(t.largest for t in tasks), max(t.together for t in tasks))


def _cells(tasks: Sequence[Task], sizes: Sequence[int]) -> list[str]:
    cells = []
    for task in tasks:
        times = f"{task.seconds:.0f}", f"{task.user + task.system:.0f}"
        cells += [*times, f"{task.largest / 1e9:.1f}", f"{task.together / 1e9:.1f}"]
    for (smaller, low), (larger, high) in itertools.pairwise(zip(sizes, tasks, strict=True)):
        cost = (high.user + high.system - low.user - low.system) / (larger - smaller)
        cells.append(f"{1e6 * cost:.1f}")
    return cells


def main() -> None:
    """Measures what is not measured yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/app_store.yaml"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--impressions", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--days", type=int, default=3)
    arguments = parser.parse_args()
    config, sizes = config_of(arguments.config), sorted(arguments.impressions)
    for size in sizes:
        measure(config, arguments.folder.absolute(), size, arguments.days)
    Console(width=240 if not sys.stdout.isatty() else None).print(table_of(arguments.folder, sizes, arguments.days))


if __name__ == "__main__":
    main()
