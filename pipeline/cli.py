"""The command line `wdr`: the whole product for a person."""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from pathlib import Path

import click

from pipeline.commands import DEBUG_HELP, WORKSPACE, Group, quiet_imports
from pipeline.models_cli import models
from pipeline.ranking_cli import COMMANDS as RANKING_COMMANDS
from pipeline.schedule_cli import COMMANDS as SCHEDULE_COMMANDS
from serving.model_server.command import serve

#: What Beam writes behind an error's text, and where in a worker's report the error itself stands.
_BEAM_STEP = re.compile(r" \[while running '[^']*'\]$")
_TRACEBACK = "Traceback (most recent call last):"


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 120},
)
@click.option("--debug", is_flag=True, expose_value=False, help=DEBUG_HELP)
@click.version_option(package_name="wide-deep-ranker")
def cli() -> None:
    """Keeps an app store's ranking model fresh: ingest, train, validate, push, score."""


cli.add_command(models)
cli.add_command(serve)
for command in (*RANKING_COMMANDS, *SCHEDULE_COMMANDS):
    cli.add_command(command)

_DATA = click.option("--data", required=True, type=click.Path(exists=True, file_okay=False), help="The folder of logs.")
_SPAN = click.option("--span", type=click.IntRange(min=0), help="The span, such as a day; the latest if left out.")


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
            on_day=on_day,
        )
    except ValueError as error:
        raise UserError(str(error)) from error


@cli.command()
@click.argument("config", type=click.Path())
@_DATA
@_SPAN
@click.option("--rows", "max_rows", type=click.IntRange(min=1), default=100_000, help="Rows to read of each source.")
def check(config: str, data: str, span: int | None, max_rows: int) -> None:
    """Read config and data and say what is wrong, before anything runs."""
    from transform.config import load_config

    loaded = load_config(config)
    with quiet_imports():
        from components.ingestion.spans import resolve_span
        from pipeline.check import check_files, check_rows
    found = resolve_span(loaded, str(Path(data).absolute()), span)
    click.echo(f"{config} is valid; span {found.span}")
    check_files(loaded, found)
    for report in check_rows(loaded, found, max_rows):
        rejected = ", ".join(f"{reason} {number}" for reason, number in sorted(report.rejected.items()))
        click.echo(
            f"{report.name}: {report.num_files} files, the first {report.num_rows:,} rows read"
            + (f", would be rejected: {rejected}; the first: {report.first_rejection}" if rejected else ", all good")
        )


@cli.command()
@click.argument("config", type=click.Path())
@_DATA
@WORKSPACE
@_SPAN
@click.option("--beam-arg", "beam_args", multiple=True, help="A Beam pipeline option; replaces the local runner's.")
@click.option("--force-push", is_flag=True, help="Push though a gate on quality refuses the model; needs --reason.")
@click.option("--reason", default="", help="With --force-push: why; it stays on record.")
def run(
    config: str,
    data: str,
    workspace: str,
    span: int | None,
    beam_args: tuple[str, ...],
    force_push: bool,
    reason: str,
) -> None:
    """Run the pipeline once: ingest, train, validate and, if the model passes, push."""
    if force_push != bool(reason.strip()):
        raise click.UsageError("`--force-push` and `--reason TEXT` go together: a forced push needs a reason")
    from pipeline.console import RunDisplay
    from pipeline.workspace import Workspace, new_run_id
    from transform.config import load_config
    from transform.errors import UserError

    loaded = load_config(config)
    place = Workspace.at(workspace)
    run_id = new_run_id()
    log_path = place.logs / f"{run_id}.log"
    click.echo(f"log: {log_path}")
    with RunDisplay(log_path) as display:
        from absl import logging

        from pipeline.create import LOCAL_BEAM_ARGS, RunSettings
        from pipeline.disk_full import disk_full, is_disk_full
        from pipeline.run import run as run_once
        from pipeline.summary import summary

        logging.set_verbosity(logging.INFO)
        settings = RunSettings(str(Path(data).absolute()), place, span, beam_args or LOCAL_BEAM_ARGS, reason)
        try:
            outcome = run_once(loaded, settings, run_id, display.show)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # SystemExit: what parses Beam's options ends the process
            with contextlib.suppress(OSError):  # a full disk has no room for the log either
                traceback.print_exc()  # to the log
            what = disk_full(place) if is_disk_full(error) else first_line(error)
            raise UserError(f"{display.node or 'the run'} failed: {what} (log: {log_path})") from error
        display.console.print(summary(outcome))


def first_line(error: BaseException) -> str:
    """An unexpected error in one line: its kind, and the first line of what it says."""
    head, worker, report = str(error).rpartition(_TRACEBACK)
    if worker:  # a Beam worker's error, as text: the first line behind its traceback's indented ones tells it
        raised = [line for line in report.splitlines() if line[:1].strip()] or head.splitlines()
        lines = [_BEAM_STEP.sub("", line) for line in raised]
        return lines[0][:300] if lines else type(error).__name__
    lines = [_BEAM_STEP.sub("", line.strip()) for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def sentence(error: Exception) -> str:
    """What a person is told of an error."""
    from transform.errors import UserError

    if isinstance(error, UserError):
        return _BEAM_STEP.sub("", str(error))
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        return error.format_message() + (f" (`{context.command_path} --help` tells more)" if context else "")
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return f"{first_line(error)} (`--debug` shows where)"


@cli.command()
@click.option("--model", required=True, type=click.Path(exists=True, file_okay=False), help="A pushed version.")
@click.option("--input", "input_path", required=True, type=click.Path(exists=True, dir_okay=False), help="Raw rows.")
@click.option("--output", "output_path", required=True, type=click.Path(dir_okay=False), help="Where to write.")
@click.option("--data", type=click.Path(exists=True, file_okay=False), help="Read the config's tables from here.")
@_SPAN
def score(model: str, input_path: str, output_path: str, data: str | None, span: int | None) -> None:
    """Score raw rows with a pushed model: the input's columns, plus `score`."""
    with quiet_imports():
        from pipeline.score import score_file

    report = score_file(model, input_path, output_path, data and str(Path(data).absolute()), span)
    click.echo(f"{report.num_scored:,} rows scored ({output_path})")
    if report.num_unscored:
        click.echo(f"{report.num_unscored:,} rows have no score: " + "; ".join(report.problems), err=True)


def main() -> None:
    """Runs the command; an error is one sentence, and exits with 1, or with 2 if the command itself is not right."""
    try:
        cli(prog_name="wdr", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
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


if __name__ == "__main__":
    main()
