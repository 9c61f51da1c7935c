"""`wdr simulate`: writes a simulated store's days."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import quiet_imports
from transform.errors import UserError

if TYPE_CHECKING:
    from pipeline.simulator import DayCounts
    from pipeline.simulator.served import ServedDay

_USERS, _SERVED_USERS = 5_000, 50_000


@click.command()
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--days", "num_days", type=int, default=3, help="How many days.")
@click.option("--first-day", type=int, default=1, help="The first day's number.")
@click.option("--impressions-per-day", type=int, default=100_000)
@click.option(
    "--users", "num_users", type=int, show_default="5,000, with --rank-service 50,000", help="Users at any one time."
)
@click.option("--apps", "num_apps", type=int, default=1_000, help="Apps at any one time.")
@click.option("--format", default="csv", type=click.Choice(["csv", "tsv", "jsonl", "parquet", "tfrecord"]))
@click.option("--gzip", "compress", is_flag=True, help="Compress the files.")
@click.option("--seed", type=int, default=1)
@click.option("--label", "with_label", is_flag=True, help="Add the label to the impressions: `installed`, 0 or 1.")
@click.option(
    "--rank-service", "service_url", metavar="URL",
    help="Have this rank service order each request's 50 candidates, show its first ten, and send it the events.",
)  # fmt: skip
@click.option(
    "--truth", type=click.Choice(["additive", "examination"]), default="examination",
    help="What a place does, with --rank-service: it adds to the logit, or multiplies the relevance.",
)  # fmt: skip
@click.option(
    "--compare", "compare_url", metavar="URL",
    help="Judge the orders of this rank service as well, such as one of an earlier version; they are not shown.",
)  # fmt: skip
def simulate(
    out: Path,
    num_days: int,
    first_day: int,
    impressions_per_day: int,
    num_users: int | None,
    num_apps: int,
    format: str,
    compress: bool,
    seed: int,
    with_label: bool,
    service_url: str | None,
    truth: str,
    compare_url: str | None,
) -> None:
    """Write a simulated app store's daily logs, installs, users and catalog, or have a rank service serve its days."""
    if service_url is None and compare_url is not None:
        raise click.UsageError("`--compare` goes with `--rank-service` only")
    if service_url is not None and with_label:
        raise click.UsageError("`--label` goes without `--rank-service` only")
    with quiet_imports():
        from pipeline.simulator import simulate as simulate_store
        from pipeline.simulator.served import simulate_served

    sizes: dict[str, Any] = {"num_days": num_days, "seed": seed, "num_apps": num_apps, "first_day": first_day}
    files: dict[str, Any] = {"format": format, "compress": compress}
    try:
        if service_url is None:
            simulate_store(
                out,
                impressions_per_day=impressions_per_day,
                num_users=num_users or _USERS,
                with_label=with_label,
                on_day=_tell_day,
                **sizes,
                **files,
            )
        else:
            simulate_served(
                out,
                service_url,
                impressions_per_day=impressions_per_day,
                num_users=num_users or _SERVED_USERS,
                truth=truth,
                compare_url=compare_url,
                on_day=_tell_served_day,
                **sizes,
                **files,
            )
    except ValueError as error:
        raise UserError(str(error)) from error


def _tell_day(day: int, counts: DayCounts) -> None:
    click.echo(f"day {day}: {counts.num_impressions:,} impressions, {counts.num_installs:,} installs")


def _tell_served_day(day: int, served: ServedDay) -> None:
    versions = " and ".join(map(str, served.versions))
    compared = "" if served.compared is None else f", compared {served.compared.mean():.4f}"
    click.echo(
        f"day {day}: {served.num_requests:,} requests, {served.num_installs:,} installs; expected per request "
        f"{served.installs.mean():.4f} by version {versions}{compared}, in order of relevance {served.best.mean():.4f}"
    )
