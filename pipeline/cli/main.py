"""The command line `wdr`: the table of its commands."""

from __future__ import annotations

import os
import sys

import click

from pipeline.cli.check import check
from pipeline.cli.export_log import export_log_command
from pipeline.cli.gates import gates
from pipeline.cli.init import init
from pipeline.cli.models import models
from pipeline.cli.options import DEBUG_HELP, Group
from pipeline.cli.rank_service import rank_service
from pipeline.cli.ranking import load_test, rank, tune_client
from pipeline.cli.report import report
from pipeline.cli.run import run
from pipeline.cli.schedule import compile_command, gc, kubeflow_step, run_node_command
from pipeline.cli.scoring import explain, score
from pipeline.cli.simulate import simulate
from pipeline.cli.simulate_loop import simulate_loop
from pipeline.cli.trying import try_command
from pipeline.errors import notes, sentence
from serving.model_server.command import serve

#: The commands, and groups of commands.
COMMANDS = (
    simulate, simulate_loop, init, check, export_log_command, run, try_command, report, score, explain, models, gates,
    compile_command, run_node_command, kubeflow_step, gc,
    serve, rank, rank_service, load_test, tune_client,
)  # fmt: skip


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 120},
)
@click.option("--debug", is_flag=True, expose_value=False, help=DEBUG_HELP)
@click.version_option(package_name="wide-deep-ranker")
def cli() -> None:
    """Keeps an app store's ranking model fresh: ingest, train, validate, push, score."""


for command in COMMANDS:
    cli.add_command(command)


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
        for note in notes(error):
            click.echo(f"warning: {note}", err=True)
        click.echo(f"error: {sentence(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, click.ClickException) else 1)
    sys.exit(code)
