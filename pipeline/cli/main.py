"""The command line `wdr`: the root command, `simulate`, `check` and `score`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from pipeline.cli.explaining import explain
from pipeline.cli.gates import gates
from pipeline.cli.init import init
from pipeline.cli.models import models
from pipeline.cli.options import (
    AS_JSON,
    DATA,
    DEBUG_HELP,
    PLAIN,
    SPAN,
    Group,
    print_document,
    quiet_imports,
    read_config,
)
from pipeline.cli.ranking import COMMANDS as RANKING_COMMANDS
from pipeline.cli.report import report as report_command
from pipeline.cli.run import run
from pipeline.cli.schedule import COMMANDS as SCHEDULE_COMMANDS
from pipeline.errors import sentence
from serving.model_server.command import serve


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 120},
)
@click.option("--debug", is_flag=True, expose_value=False, help=DEBUG_HELP)
@click.version_option(package_name="wide-deep-ranker")
def cli() -> None:
    """Keeps an app store's ranking model fresh: ingest, train, validate, push, score."""


cli.add_command(models)
cli.add_command(gates)
cli.add_command(serve)
cli.add_command(explain)
for command in (init, run, report_command, *RANKING_COMMANDS, *SCHEDULE_COMMANDS):
    cli.add_command(command)


@cli.command()
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
    from transform.errors import UserError

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


@cli.command()
@click.argument("config", type=click.Path())
@DATA
@SPAN
@click.option(
    "--rows", "max_rows", type=click.IntRange(min=1), default=100_000, help="Number of rows to read from each source."
)
@AS_JSON
def check(config: str, data: str, span: int | None, max_rows: int, as_json: bool) -> None:
    """Read config and data and say what is wrong, before anything runs."""
    loaded = read_config(config)
    with quiet_imports():
        from components.ingestion.spans import resolve_span
        from pipeline.beam_options import check_beam
        from pipeline.check.columns import columns_of_no_row
        from pipeline.check.rows import check_files, check_rows, one_label
        from pipeline.check.source_report import described
        from pipeline.check.spans import unmatched_joins, values_outside_windows
        from pipeline.check.training import training_warnings
    check_beam(loaded.beam)
    data_root = str(Path(data).absolute())
    found = resolve_span(loaded, data_root, span)
    click.echo(f"{config} is valid; span {found.span}", err=as_json)
    check_files(loaded, found)
    columns = columns_of_no_row(loaded, found, max_rows)
    reports = check_rows(loaded, found, max_rows)
    for report in reports:
        click.echo(described(report), err=as_json)
    for line in one_label(loaded, reports):
        click.echo(f"labels: {line}", err=as_json)
    for line in columns:
        click.echo(f"columns: {line}", err=as_json)
    joins = unmatched_joins(loaded, found, max_rows)
    for line in joins:
        click.echo(f"joins: {line}", err=as_json)
    with quiet_imports():  # for a derived feature it imports TensorFlow
        values = values_outside_windows(loaded, data_root, found, max_rows)
    for line in values:
        click.echo(f"values: {line}", err=as_json)
    training = list(training_warnings(loaded, reports))
    for line in training:
        click.echo(f"training: {line}", err=as_json)
    if as_json:
        from pipeline.json_output import CheckResult

        print_document(CheckResult(config, found.span, reports, columns, joins, values, training))


@cli.command()
@click.option("--model", required=True, type=click.Path(exists=True, file_okay=False), help="A pushed version.")
@click.option("--input", "input_path", required=True, type=click.Path(exists=True, dir_okay=False), help="Raw rows.")
@click.option("--output", "output_path", required=True, type=click.Path(dir_okay=False), help="Where to write.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="The data folder, from which the config's tables are read.",
)
@SPAN
@PLAIN
@AS_JSON
def score(
    model: str, input_path: str, output_path: str, data: str | None, span: int | None, plain: bool, as_json: bool
) -> None:
    """Score raw rows with a pushed model: the input's columns, plus `score`."""
    with quiet_imports():
        from pipeline.batch_scoring.score import score_file

    report = score_file(model, input_path, output_path, data and str(Path(data).absolute()), span, plain=plain)
    if as_json:
        from pipeline.json_output import ScoreResult

        counts = report.num_scored, report.num_unscored
        print_document(ScoreResult(output_path, *counts, report.problems, report.notes))
        return
    click.echo(f"{report.num_scored:,} rows scored ({output_path})")
    if report.num_unscored:
        click.echo(f"{report.num_unscored:,} rows have no score: " + "; ".join(report.problems), err=True)
    for note in report.notes:
        click.echo(note, err=True)


def main() -> None:
    """Runs a command; an error is printed as one sentence, and exits with 1, or with 2 for wrong usage.

    TensorFlow then imports the Keras that this project uses, as tensorflow-transform has it too, and not Keras 3 with
    Matplotlib beside it: 2 s of processor time less in each process.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        code = cli(prog_name="wdr", standalone_mode=False)  # the exit code of a command that raises `Exit`
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"error: {sentence(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, click.ClickException) else 1)
    sys.exit(code)
