"""The command `wdr report`: writes the page of a run again, and opens it."""

from __future__ import annotations

import click

from pipeline.cli.options import WORKSPACE, quiet_imports
from pipeline.workspace import Workspace


@click.command()
@click.argument("run", required=False)
@WORKSPACE
@click.option("--open", "is_opened", is_flag=True, help="Open the page in the browser.")
def report(run: str | None, workspace: str, is_opened: bool) -> None:
    """Write the page of RUN again, and the index of all runs; the last run if left out.

    RUN is the name of a file in the workspace's `reports/`, without `.json`.
    """
    with quiet_imports():  # also hides TensorFlow's deprecation warning at each reading of scores
        from pipeline.report.rebuild import rebuild

        outcome = rebuild(Workspace.existing(workspace), run)
    click.echo(outcome.words)
    if is_opened:
        click.launch(str(outcome.path))
