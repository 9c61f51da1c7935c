"""`wdr simulate`: writes a simulated store's days."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import quiet_imports
from transform.errors import UserError


@click.command()
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--days", "num_days", type=int, default=3, help="How many days.")
@click.option("--first-day", type=int, default=1, help="The first day's number.")
@click.option("--impressions-per-day", type=int, default=100_000)
@click.option("--users", "num_users", type=int, default=5_000, help="Users at any one time.")
@click.option("--apps", "num_apps", type=int, default=1_000, help="Apps at any one time.")
@click.option("--format", default="csv", type=click.Choice(["csv", "tsv", "jsonl", "parquet", "tfrecord"]))
@click.option("--gzip", "compress", is_flag=True, help="Compress the files.")
@click.option("--seed", type=int, default=1)
@click.option("--label", "with_label", is_flag=True, help="Add the label to the impressions: `installed`, 0 or 1.")
def simulate(
    out: Path,
    num_days: int,
    first_day: int,
    impressions_per_day: int,
    num_users: int,
    num_apps: int,
    format: str,
    compress: bool,
    seed: int,
    with_label: bool,
) -> None:
    """Write a simulated app store's daily logs, installs, users and catalog."""
    with quiet_imports():
        from pipeline.simulator import DayCounts
        from pipeline.simulator import simulate as simulate_store

    def on_day(day: int, counts: DayCounts) -> None:
        click.echo(f"day {day}: {counts.num_impressions:,} impressions, {counts.num_installs:,} installs")

    try:
        simulate_store(
            out,
            num_days=num_days,
            impressions_per_day=impressions_per_day,
            format=format,
            compress=compress,
            seed=seed,
            num_users=num_users,
            num_apps=num_apps,
            first_day=first_day,
            with_label=with_label,
            on_day=on_day,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
