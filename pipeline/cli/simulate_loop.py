"""`wdr simulate-loop`: the simulated store is served by its own models, which learn from their own log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import read_config, read_keys, uncollected_imports
from transform.errors import InputError

if TYPE_CHECKING:
    from pipeline.nodes.settings import RunSettings
    from pipeline.simulated_loop.figures import Figures
    from pipeline.simulated_loop.loop import LoopDay
    from transform.config.config import Config


@click.command("simulate-loop")
@click.argument("config", type=click.Path())
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--days", "num_days", type=click.IntRange(min=1), default=7, help="The days that are served.")
@click.option("--first-days", type=click.IntRange(min=1), default=1, help="The days of which the first version learns.")
@click.option("--seeds", default="1", help="The seeds, comma-separated; each is a store of its own.")
@click.option("--impressions-per-day", type=click.IntRange(min=10), default=100_000, help="Ten are a request.")
@click.option("--users", "num_users", type=click.IntRange(min=1), default=50_000, help="Users at any one time.")
@click.option("--apps", "num_apps", type=click.IntRange(min=1), default=1_000, help="Apps at any one time.")
@click.option(
    "--truth", type=click.Choice(["additive", "examination"]), default="examination", help="What a place does."
)
@click.option("--explore", type=click.Choice(["swap", "shuffle"]), default="swap", help="How the service explores.")
@click.option("--epsilon", type=click.FloatRange(0, 1), default=0.05, help="The share of requests explored.")
@click.option("--last-days", type=click.IntRange(min=1), default=3, help="The days that the last line is about.")
def simulate_loop(
    config: str,
    out: Path,
    num_days: int,
    first_days: int,
    seeds: str,
    impressions_per_day: int,
    num_users: int,
    num_apps: int,
    truth: str,
    explore: str,
    epsilon: float,
    last_days: int,
) -> None:
    """Run days of the simulated store, each served by the model that learnt from the days before."""
    keys = read_keys(config)
    read_config(config)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds must be comma-separated numbers. Received: {seeds[:100]!r}") from error
    with uncollected_imports():
        from pipeline.simulated_loop.loop import LoopSizes, run_loop

    sizes = LoopSizes(num_days, first_days, impressions_per_day, num_users, num_apps)
    stores: list[list[LoopDay]] = []
    for seed in numbers:
        days = run_loop(
            config,
            keys,
            out / f"seed-{seed}",
            sizes,
            truth=truth,
            seed=seed,
            options=["--explore", explore, "--epsilon", f"{epsilon}"],
            run_span=run_span,
            on_day=lambda day: click.echo(day_line(seed, day)),  # noqa: B023
        )
        stores.append(days)
    found = last_days_figures(stores, last_days)
    click.echo(f"last {last_days} days of {len(stores)} stores: {shown(found)}")


def run_span(config: Config, settings: RunSettings) -> tuple[int | None, str]:
    """Runs the pipeline, and shows it; returns the pushed version, or None and why there is none."""
    from pipeline.cli.display import RunDisplay
    from pipeline.runner.run import run
    from pipeline.workspace import new_run_id

    run_id = new_run_id()
    started = time.monotonic()
    with RunDisplay(settings.workspace.logs / f"{run_id}.log", to_stderr=True) as display:
        result = run(config, settings, run_id, display.show)
    click.echo(f"span {settings.span}: {time.monotonic() - started:.0f} s", err=True)
    return result.version, "; ".join(result.refusals)


def day_line(seed: int, day: LoopDay) -> str:
    """Returns the line of a served day."""
    versions = " and ".join(map(str, day.served.versions))
    if day.version is not None:
        then = f"pushed version {day.version}"
    else:
        then = f"{'stopped' if day.stopped else 'refused'}: {day.reason}"
    return f"seed {seed}, day {day.day}, version {versions}: {shown(last_days_figures([[day]], 1))}; {then}"


def last_days_figures(stores: Sequence[Sequence[LoopDay]], last_days: int) -> Figures:
    """Returns the figures of the last days of some stores together; in a store, a number is of one user on all days."""
    import numpy as np

    from pipeline.simulated_loop.figures import figures

    last = [[day.served for day in store[-last_days:]] for store in stores]
    return figures(
        [np.concatenate([day.installs for day in days]) for days in last],
        [np.concatenate([day.compared for day in days if day.compared is not None]) for days in last],
        [np.concatenate([day.user for day in days]) for days in last],
    )


def shown(found: Figures) -> str:
    """Returns figures in words."""
    return (
        f"{found.served:.4f} installs expected per request, {found.first:.4f} by the first version; difference "
        f"{found.served - found.first:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}"
    )
