"""The simulated store served by its own models, which learn from their own log: seven days, three seeds.

    python -m tests.soak.served_loop [--days 7] [--seeds 1 2 3] [--impressions 60000] [--config configs/app_store.yaml]

Each day is served through the rank service with 5 % exploration. After the last day of the first seed come three
damaged days: positions shifted by one, scores of another version, events doubled. Reports each day. Exits with code 1
unless, over the last three good days of all seeds, the true probability of an install per request is above the frozen
first version's on the same requests, with a 95 % interval above zero; or if a good day is stopped, or a damaged one is
not, or without its cause in the sentence.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.cli.options import read_keys
from pipeline.cli.simulate_loop import last_days_figures, run_span, shown
from pipeline.simulated_loop.loop import LoopDay, LoopSizes, run_loop
from tests.soak.served_damages import DAMAGES

EXPLORATION = ("--explore", "swap", "--epsilon", "0.05")
LAST_DAYS = 3


def campaign(config: str, folder: Path, sizes: LoopSizes, seeds: Sequence[int], damages: Sequence[str]) -> list[str]:
    """Runs the loop for each seed, and the damaged days of the first; prints tables, and returns what is wrong."""
    console = Console()
    problems: list[str] = []
    stores: list[list[LoopDay]] = []
    last = sizes.first_days + sizes.num_days
    for seed in seeds:
        damaged = dict(enumerate(damages, last + 1)) if seed == seeds[0] else {}
        table = Table("day", "by", "expected installs per request", "then", title=f"seed {seed}")

        def damage(day: int, export: Path, damaged: dict[int, str] = damaged) -> None:
            if day in damaged:
                DAMAGES[damaged[day]][0](export)

        days = run_loop(
            config,
            read_keys(config),
            folder / f"seed-{seed}",
            LoopSizes(
                sizes.num_days + len(damaged),
                sizes.first_days,
                sizes.impressions_per_day,
                sizes.num_users,
                sizes.num_apps,
            ),
            truth="examination",
            seed=seed,
            options=EXPLORATION,
            run_span=run_span,
            on_day=lambda day: console.print(f"day {day.day}: {day.version or day.reason}"),
            before_run=damage,
        )
        for day in days:
            state = f"version {day.version}" if day.version is not None else f"stopped: {day.reason}"
            versions = " and ".join(map(str, day.served.versions))
            table.add_row(f"{day.day}", versions, shown(last_days_figures([[day]], 1)), state)
            name = damaged.get(day.day)
            if name is None and day.stopped:
                problems.append(f"seed {seed}, day {day.day}: a good day is stopped: {day.reason}")
            elif name is not None and not day.stopped:
                problems.append(f"day {day.day}, {name}: is not stopped")
            elif name is not None and DAMAGES[name][1] not in day.reason:
                problems.append(f"day {day.day}, {name}: is stopped without its cause: {day.reason}")
        console.print(table)
        stores.append([day for day in days if day.day <= last])
    found = last_days_figures(stores, LAST_DAYS)
    console.print(f"last {LAST_DAYS} days of {len(stores)} seeds: {shown(found)}")
    if found.low <= 0:
        problems.append(f"the served orders must be better than the first version's: {shown(found)}")
    return problems


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the campaign, and exits with code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--impressions", type=int, default=60_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--apps", type=int, default=1_000)
    parser.add_argument("--config", default="configs/app_store.yaml")
    parser.add_argument("--damages", nargs="*", choices=list(DAMAGES), default=list(DAMAGES))
    given = parser.parse_args(arguments)
    sizes = LoopSizes(given.days, 1, given.impressions, given.users, given.apps)
    with tempfile.TemporaryDirectory() as folder:
        problems = campaign(given.config, Path(folder), sizes, given.seeds, given.damages)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
