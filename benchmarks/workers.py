"""The speed of the nodes that read all rows with two workers: `python -m benchmarks.workers --impressions 2000000`.

A simulated store's first day trains a model; of the second, the nodes run up to the Evaluator. Three ways, each with a
process of its own and the workspace of the same first day: one process on one core, one process on two cores, and two
workers on two cores. Prints the nodes' seconds by the clock, the two workers' speed divided by that of the others, and
the seconds until workers can be forked, which a process takes once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.table import Table

from benchmarks.machine import processor_model
from benchmarks.row_nodes import NODES, Way, prepare, second_day
from pipeline.cli.display import console_for

WAYS = (Way(1, 1), Way(1, 2), Way(2, 2))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impressions", type=int, default=2_000_000, help="of each day")
    parser.add_argument("--folder", type=Path, help="keep logs and workspaces in this new folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        prepare(folder, args.impressions)
        found = [second_day(folder, way) for way in WAYS]
    table = Table(title=f"{args.impressions:,} impressions, workers on cores; {processor_model()}", box=None)
    for column in ("node", *(f"{way}, s" for way in WAYS), "speed to one core", "speed to one process"):
        table.add_column(column, justify="left" if column == "node" else "right")
    table.add_row("start of the workers", *(f"{measured.start_seconds:.1f}" for measured in found), "", "")
    for node in NODES:
        row = [measured.seconds[node] for measured in found]
        table.add_row(node, *(f"{seconds:.1f}" for seconds in row), *(f"{of / row[-1]:.2f}" for of in row[:-1]))
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
