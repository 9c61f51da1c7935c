"""The memory of the nodes that read all rows, with two workers: `python -m benchmarks.workers_memory`.

Two stores with the same users and apps, and shards of 4 MB of log; one has ten times the impressions. Prints, by node,
the most anonymous memory of the node's process and of a worker beyond that after the imports, and how it grows.
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

SHARD_BYTES = 4 << 20

_MB = 1 << 20


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impressions", type=int, nargs=2, default=(200_000, 2_000_000), help="of each store's days")
    args = parser.parse_args()
    found = []
    for number in args.impressions:
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name), number)
            found.append(second_day(Path(name), Way(2, 2), SHARD_BYTES))
    table = Table(title=f"memory in MB by impressions; {processor_model()}", box=None)
    columns = [f"{of}, {number:,}" for of in ("node", "worker") for number in args.impressions]
    for column in ("node", *columns, "node grows", "worker grows"):
        table.add_column(column, justify="left" if column == "node" else "right")
    workers = [measured.worker_bytes for measured in found]
    for node in NODES:
        kinds = [[of.get(node, 0) / _MB for of in both] for both in ([m.node_bytes for m in found], workers)]
        cells = [f"{size:.0f}" for sizes in kinds for size in sizes]
        table.add_row(node, *cells, *(f"{after - before:+.0f}" for before, after in kinds))
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
