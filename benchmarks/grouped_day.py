"""Measures a scheduler's day with a task for each node, and with resolvers and gates grouped (`wdr compile --group`).

    python -m benchmarks.grouped_day

Each task is the command that Airflow's and Kubeflow's tasks run. Both ways run the same simulated days, each in a
workspace of its own, and take turns task by task, so that other processes slow both alike. Prints the tasks' times on a
clock and of the processor; the latter are compared. Prints too the user time of tasks with a resolver alone, most of
which is imports, and of each further node in the group with `row_gate`, which has `schema_gen` and resolvers besides.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import processor_model
from benchmarks.tasks import CompiledDays, Task
from pipeline.simulator import simulate
from transform.config.config_file import load_config

#: The nodes with an executor in the group that is measured; the others are resolvers.
_WITH_EXECUTOR = ("row_gate", "schema_gen")


def run_in_turn(ways: Collection[CompiledDays], span: int) -> None:
    """Runs a span's tasks of all ways; the next task is of the way whose tasks have taken the least user time."""
    left = list(ways)
    while left:
        way = min(left, key=lambda way: sum(task.user for task in way.tasks.get(span, ())))
        if not way.run_next(span):
            left.remove(way)


def processor_seconds(tasks: Sequence[Task]) -> float:
    """Returns the processor time of tasks, in seconds."""
    return sum(task.user + task.system for task in tasks)


def _cells(tasks: Sequence[Task]) -> tuple[str, str, str]:
    return str(len(tasks)), f"{sum(task.seconds for task in tasks):.0f}", f"{processor_seconds(tasks):.0f}"


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("tests/e2e/small_store.yaml"))
    parser.add_argument("--days", type=int, default=2, help="The last one has a baseline.")
    parser.add_argument("--impressions", type=int, default=4_000, help="Impressions a day.")
    arguments = parser.parse_args()
    config, console = load_config(arguments.config), Console(highlight=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        simulate(data, num_days=arguments.days, impressions_per_day=arguments.impressions, num_users=200, num_apps=100)
        single, grouped = (
            CompiledDays(config, folder / kind, data, group=kind == "grouped") for kind in ("single", "grouped")
        )
        for span in range(1, arguments.days + 1):
            run_in_turn((single, grouped), span)
    console.print(processor_model())
    table = Table(box=None)
    for column in ("day", "single tasks", "s", "CPU s", "grouped tasks", "s", "CPU s", "share of CPU s"):
        table.add_column(column, justify="right")
    for span in range(1, arguments.days + 1):
        share = processor_seconds(grouped.tasks[span]) / processor_seconds(single.tasks[span])
        table.add_row(str(span), *_cells(single.tasks[span]), *_cells(grouped.tasks[span]), f"{share:.2f}")
    console.print(table)
    (group,) = [task for task in grouped.tasks[arguments.days] if "row_gate" in task.nodes]
    resolvers = set(group.nodes).difference(_WITH_EXECUTOR)
    alone = [task for task in single.tasks[arguments.days] if task.nodes[0] in resolvers]
    for task in (*grouped.tasks[arguments.days], *alone):
        console.print(f"{task.seconds:6.1f} s, {task.user:5.1f} s user: {', '.join(task.nodes)}")
    trivial = statistics.median(task.user for task in alone)
    (first,) = [task for task in single.tasks[arguments.days] if task.nodes[0] == group.nodes[0]]
    further = (group.user - first.user) / (len(group.nodes) - 1)
    console.print(
        f"a resolver alone: {trivial:.1f} s of user time at the median; in a group, each node adds {further:.1f} s"
    )


if __name__ == "__main__":
    main()
