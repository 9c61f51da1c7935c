"""Retrains a good model with other seeds, through all gates, and counts how often the gates refuse it.

    python -m tests.soak.retrainings [--retrainings 20] [--max-blocked 1]

The gates are those that stop every case of the table of bad models (`tests/e2e/guarded_store.yaml`). Each retraining is
a run on the second day of the same store, warm-started from the first day's model and compared with it, in a copy of
the same workspace; ingestion and tf.Transform come from its cache. Exits with code 1 if more than `--max-blocked` are
refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.e2e import store
from tests.e2e.bad_store import in_process
from tests.e2e.prepared_store import CONFIG, NAME, PreparedStore


@dataclasses.dataclass(frozen=True)
class Retraining:
    """One retraining, and the gates' verdict.

    Attributes:
      seed: The training's seed.
      auc: The retrained model's AUC.
      baseline_auc: The baseline's AUC on the same examples.
      change: The 95 % interval of the difference.
      refusals: Why it was refused, one sentence each; empty if it was pushed.
    """

    seed: int
    auc: float
    baseline_auc: float
    change: tuple[float, float]
    refusals: tuple[str, ...]


def retrain(prepared: PreparedStore, seed: int, folder: Path) -> Retraining:
    """Trains with a seed and runs the gates, in the store as prepared.

    Args:
      prepared: The store.
      seed: A seed other than that of the store's config.
      folder: An empty folder for the config.
    """
    config, workspace = folder / "config.yaml", prepared.workspace
    sections = yaml.safe_load(CONFIG.read_text())
    sections["training"]["seed"] = seed
    config.write_text(yaml.safe_dump(sections))
    prepared.put_back(with_serving=True)
    done = in_process(*store.run_arguments(prepared.data, workspace, 2, config))
    assert done.returncode == 0, done.stderr
    assert {"example_gen", "transform"} <= store.cached(done.stdout) <= set(store.nodes(done.stdout)) - {"trainer"}
    report = store.last_report(workspace)
    assert report["training"]["warm_started_from"] is not None
    assert store.versions(workspace, NAME) == ([1] if report["refusals"] else [1, 2])
    auc, baseline_auc = (report[models].get("auc", math.nan) for models in ("metrics", "baseline"))
    low, high = report["changes"].get("auc", (math.nan, math.nan))  # absent if infra validation refused the model
    return Retraining(seed, auc, baseline_auc, (low, high), tuple(report["refusals"]))


def results(retrainings: Sequence[Retraining]) -> Table:
    """One row per retraining."""
    table = Table()
    for header in ("seed", "AUC", "baseline", "change, 95 %", "pushed"):
        table.add_column(header)
    for r in retrainings:
        low, high = r.change
        reported = "; ".join(r.refusals)
        cells = (f"{r.auc:.4f}", f"{r.baseline_auc:.4f}", f"{low:+.4f} to {high:+.4f}")
        table.add_row(str(r.seed), *cells, f"[red]no[/red]: {reported}" if reported else "[green]yes[/green]")
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrainings", type=int, default=20)
    parser.add_argument("--max-blocked", type=int, default=1)
    arguments = parser.parse_args()
    console = Console(file=os.fdopen(os.dup(1), "w"))  # a run in this process redirects the original one to its log
    done: list[Retraining] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as temporary, Progress(*columns, console=console) as progress:
        task = progress.add_task("the store is prepared", total=arguments.retrainings)
        prepared = PreparedStore.prepare(Path(temporary) / "prepared")
        for i in range(arguments.retrainings):
            seed = 2 + i  # seed 1 is the config's
            folder = Path(temporary) / f"seed-{seed}"
            folder.mkdir()
            progress.update(task, description=f"seed {seed}")
            done.append(retrain(prepared, seed, folder))
            progress.console.print(f"seed {seed}: {'; '.join(done[-1].refusals) or 'pushed'}")
            progress.advance(task)
    console.print(results(done))
    blocked = sum(bool(r.refusals) for r in done)
    console.print(f"{blocked} of {len(done)} blocked; at most {arguments.max_blocked} may be")
    sys.exit(int(blocked > arguments.max_blocked))


if __name__ == "__main__":
    main()
