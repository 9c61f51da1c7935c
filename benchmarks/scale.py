"""Measures a steady day at several sizes: time, processor time and memory of each stage, and what the run keeps.

    python -m benchmarks.scale --folder FOLDER --impressions 100000 1000000 --days 3
    python -m benchmarks.scale --folder FOLDER --impressions 100000 --days 1 --hot-user 0.3 --hot-app 0.1
    python -m benchmarks.scale --folder FOLDER --impressions 10000000 --days 3 --first-day 500000

For each number of impressions a day, simulates a store and runs its days, grouped into tasks as by `wdr compile
--group`, with the shipped config (a window of two spans), one epoch of batches of 1,024, and `gauc` by user. The last
day is steady if it is the third or a later one. Users and apps are in proportion to the impressions. The marginal cost
of a stage is its processor time per impression between two sizes; it is linear if that of the larger sizes is no higher
than that of the smaller ones.

`--hot-user` and `--hot-app` measure a second log of each size too, in which one user has that share of the requests,
and one app that share of the impressions (`benchmarks.hot_keys`), and compare it with the even one.

`--first-day` gives the first day another number of impressions, of the same users and apps. A small first day saves
time where the third day is measured: its window of two spans does not have the first day.

Each task's figures are written to FOLDER as soon as it has run, and what is there does not run again, so that the
measurement may be interrupted at any time. A task that was interrupted runs again as a whole, in the workspace as it
was before the task: given the same workspace, `wdr run-node` would remove what the interrupted node has left, but would
not run the task's finished nodes again, and a training would go on from its checkpoint. Nothing of the interrupted
attempt is left but what the operating system keeps of files in memory. Interrupt by Ctrl-C, or kill the whole process
group: a task that outlives this process is reported when it is to run again.
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
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.attempts import put_back, whole_attempt
from benchmarks.hot_keys import Shares, rewrite_day
from benchmarks.machine import processor_model
from benchmarks.tasks import CompiledDays, Task
from pipeline.simulator import MIN_APPS, simulate
from pipeline.simulator.day_folders import published_paths
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.schedule import SUCCESS_MARKER

_IMPRESSIONS_PER_USER = 20
_IMPRESSIONS_PER_APP = 500
_USER = "user_id"
_EVEN = Shares(0.0, 0.0)


def config_of(path: Path) -> Config:
    """Returns a config with one epoch of batches of 1,024, so that the steps are in proportion to the rows.

    The groups of `gauc` are the users, so that a hot user is a large group; for that, a row must have a user.
    """
    config = load_config(path)
    features = tuple(
        dataclasses.replace(feature, required=True) if feature.name == _USER else feature
        for feature in config.spec.features
    )
    return dataclasses.replace(
        config,
        spec=dataclasses.replace(config.spec, features=features),
        training=dataclasses.replace(config.training, batch_size=1024, num_epochs=1),
        evaluation=dataclasses.replace(config.evaluation, gauc_by=_USER),
    )


def folder_of(folder: Path, impressions: int, shares: Shares = _EVEN) -> Path:
    """Returns the folder of one size's logs, workspace and results."""
    return folder / "-".join(filter(None, [str(impressions), shares.name]))


def measure(
    config: Config,
    folder: Path,
    impressions: int,
    days: int,
    shares: Shares = _EVEN,
    *,
    of_first_day: int | None = None,
) -> None:
    """Simulates and runs the days of one size that have not run yet, and the tasks that are left of a day.

    Args:
      config: The config to run.
      folder: The folder of all sizes.
      impressions: The number of impressions of a day; also decides the number of users and of apps.
      days: How many days there are to be, those that ran earlier included.
      shares: The shares of the hot keys.
      of_first_day: The number of impressions of the first day; None for that of the other days.
    """
    size = folder_of(folder, impressions, shares)
    pipeline = CompiledDays(config, size, size / "data", group=True)
    even = folder_of(folder, impressions) / "data"
    for day in range(1, days + 1):
        _simulate(even, impressions, day, of_first_day if day == 1 and of_first_day is not None else impressions)
        if shares.name and not _is_complete(size / "data", day):
            rewrite_day(even, size / "data", day, shares)
        _measure_day(pipeline, size, day)


def _is_complete(data: Path, day: int) -> bool:
    return (data / "impressions" / f"day-{day}" / SUCCESS_MARKER).exists()


def _simulate(data: Path, size: int, day: int, impressions: int) -> None:
    """Simulates a day of the store of a size, with a number of impressions, if it is not there yet."""
    if _is_complete(data, day):
        return
    for path in published_paths(data, day):  # of a simulation that was interrupted
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    simulate(
        data,
        first_day=day,
        num_days=1,
        impressions_per_day=impressions,
        num_users=size // _IMPRESSIONS_PER_USER,
        num_apps=max(MIN_APPS, size // _IMPRESSIONS_PER_APP),
    )


def _measure_day(pipeline: CompiledDays, size: Path, day: int) -> None:
    result = size / f"day-{day}.json"
    document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {"tasks": []}
    if "kept" in document:
        return
    done = pipeline.tasks[day] = _tasks(document)
    for copy in size.glob("before-*"):
        if copy.name == _copy(day, len(done)):
            put_back(copy, pipeline.workspace)
        else:  # it was to be removed: its task's figures are written
            shutil.rmtree(copy)
    document = {"processor": processor_model(), "bytes_before": _num_bytes(pipeline.workspace), **document}
    while len(done) < len(pipeline.planned):
        with whole_attempt(pipeline.workspace, size / _copy(day, len(done))):
            pipeline.run_next(day)
            document["tasks"] = [task._asdict() for task in done]
            _write(result, document)
        print(f"{size.name}, day {day}: {done[-1].nodes[0]} {done[-1].seconds:.0f} s", flush=True)
    document["kept"] = _num_bytes(pipeline.workspace) - document["bytes_before"]
    _write(result, document)


def _copy(day: int, number: int) -> str:
    """Returns the name of the workspace's copy while a task runs."""
    return f"before-{day}-{number}"


def _write(path: Path, document: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(document, indent=1), encoding="utf-8")
    part.rename(path)


def _num_bytes(folder: Path) -> int:
    """The size of a folder's files; one with several links counts once."""
    found = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in found}.values())


def _tasks(document: dict[str, Any]) -> list[Task]:
    return [Task(**{**task, "nodes": tuple(task["nodes"])}) for task in document["tasks"]]


def read_day(path: Path) -> tuple[list[Task], int, str]:
    """Returns a day's tasks, the bytes that its run keeps, and the processor's model."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return _tasks(document), document["kept"], document["processor"]


def table_of(folder: Path, sizes: Sequence[int], day: int) -> Table:
    """Returns the stages' costs at each size, and their marginal costs from each size to the next."""
    by_size = {size: read_day(folder_of(folder, size) / f"day-{day}.json") for size in sizes}
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


def comparison_of(folder: Path, size: int, day: int, shares: Shares) -> Table:
    """Returns the stages' costs of the log with hot keys beside those of the even one."""
    even, _, processor = read_day(folder_of(folder, size) / f"day-{day}.json")
    hot, _, hot_processor = read_day(folder_of(folder, size, shares) / f"day-{day}.json")
    processors = "; ".join(sorted({processor, hot_processor}))
    table = Table(title=f"{size:,} impressions, day {day}, {shares.name} against even; {processors}", box=None)
    table.add_column("task, by its first node")
    for column in ("CPU s: even", "hot", "ratio", "GB largest: even", "hot", "ratio", "GB all: even", "hot", "ratio"):
        table.add_column(column, justify="right")
    for of_even, of_hot in zip([*even, _total(even)], [*hot, _total(hot)], strict=True):
        figures = [
            (of_even.user + of_even.system, of_hot.user + of_hot.system, 1.0),
            (of_even.largest, of_hot.largest, 1e9),
            (of_even.together, of_hot.together, 1e9),
        ]
        cells = [f"{x / unit:.1f} {y / unit:.1f} {y / x:.2f}".split() for x, y, unit in figures]
        table.add_row(of_even.nodes[0] if of_even.nodes else "all", *itertools.chain(*cells))
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
    parser.add_argument("--first-day", type=int, metavar="IMPRESSIONS", help="By default as many as on the other days.")
    parser.add_argument(
        "--hot-user", type=float, default=0.0, metavar="SHARE", help="One user's share of the requests."
    )
    parser.add_argument(
        "--hot-app", type=float, default=0.0, metavar="SHARE", help="One app's share of the impressions."
    )
    arguments = parser.parse_args()
    if arguments.first_day is not None and arguments.days == 1:
        parser.error("`--first-day` needs at least two `--days`: the table is of the last one, by its `--impressions`")
    folder, shares = arguments.folder.absolute(), Shares(arguments.hot_user, arguments.hot_app)
    try:
        shares.check()
    except ValueError as error:
        parser.error(str(error))
    config, sizes = config_of(arguments.config), sorted(arguments.impressions)
    for size, of_log in itertools.product(sizes, [_EVEN, shares] if shares.name else [_EVEN]):
        measure(config, folder, size, arguments.days, of_log, of_first_day=arguments.first_day)
    console = Console(width=240 if not sys.stdout.isatty() else None)
    console.print(table_of(folder, sizes, arguments.days))
    if shares.name:
        console.print(*[comparison_of(folder, size, arguments.days, shares) for size in sizes])


if __name__ == "__main__":
    main()
