"""The commands `wdr gates …`: past decisions of the gates, replayed with other thresholds."""

from __future__ import annotations

import sys

import click

from pipeline.cli.options import WORKSPACE, Group, quiet_imports, read_config
from pipeline.workspace import Workspace


@click.group(cls=Group)
def gates() -> None:
    """What the gates have decided, and would decide by other thresholds."""


@gates.command()
@click.argument("config", type=click.Path())
@WORKSPACE
def replay(config: str, workspace: str) -> None:
    """Decide again on the recorded inputs of past spans' gates, by CONFIG's thresholds."""
    loaded = read_config(config)
    with quiet_imports():
        from pipeline.cli.display import console_for
        from pipeline.registry.gates_replay import replay_tables
    console = console_for(sys.stdout)
    for number, table in enumerate(replay_tables(Workspace.existing(workspace), loaded)):
        if number:
            console.print()
        console.print(table)
