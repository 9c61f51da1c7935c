"""The commands for schedulers: `wdr compile`, `run-node` and `kubeflow-step`; and `wdr gc`."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import (
    ACCEPT_SPAN,
    AS_JSON,
    LOG_LEVEL,
    REASON,
    SKIPPED,
    WORKSPACE,
    accepting,
    needed_reason,
    print_document,
    quiet_imports,
    read_config,
)
from pipeline.errors import notes
from pipeline.workspace import Workspace
from transform.errors import GateError, UserError

if TYPE_CHECKING:
    from pipeline.compile.compiled import RunEnvironment
    from pipeline.runner.run_node import NodeResult

_EXISTING = click.Path(exists=True, file_okay=False)


@click.command(name="compile")
@click.argument("config", type=click.Path())
@click.option("--target", required=True, type=click.Choice(["local", "airflow", "kubeflow"]), help="The scheduler.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The output folder.")
@click.option("--group", is_flag=True, help="Run resolvers and gates in the task of the node before them.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="The first day with logs; overrides the config.")
@click.option("--image", default="", help="Kubeflow: the steps' container image; required.")
@click.option("--claim", default="storage", help="Kubeflow: the persistent volume claim that holds data and workspace.")
@click.option("--secret", default="", help="Kubeflow: the secret that holds WDR_METADATA_URL.")
def compile_command(
    config: str,
    target: str,
    out: Path,
    group: bool,
    start: datetime.datetime | None,
    image: str,
    claim: str,
    secret: str,
) -> None:
    """Write the pipeline for a scheduler: what its nodes are, and the scheduler's own file."""
    if target == "kubeflow" and not image:
        raise click.UsageError("`--target kubeflow` needs `--image`: the image that was built from the Dockerfile")
    loaded = read_config(config)
    if start is not None:
        schedule = dataclasses.replace(loaded.schedule, start=start.date())
        loaded = dataclasses.replace(loaded, schedule=schedule)
    with quiet_imports():
        from pipeline.beam_options import check_beam
        from pipeline.compile.compiled import write_compiled
        from pipeline.compile.targets import write_target
    check_beam(loaded.beam)
    topology = write_compiled(loaded, out.absolute(), group=group)
    file = write_target(target, topology, out.absolute(), image=image, claim=claim, secret=secret)
    tasks = f" in {len(topology.tasks)} tasks" if group else ""
    click.echo(f"{len(topology.nodes)} nodes of {loaded.name}{tasks} for {target}: {file}")
    if target != "local":
        first = topology.schedule
        click.echo(f"the first day with logs is {first.start}, span {first.first_span} (`schedule.start`, `--start`)")


@click.command(name="run-node")
@click.option(
    "--compiled", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="By `wdr compile`."
)
@click.option("--node", "nodes", required=True, multiple=True, help="The node to run; several run one after another.")
@click.option("--span", required=True, envvar="WDR_SPAN", type=click.IntRange(min=0), help="The run's span.")
@click.option("--run-id", required=True, envvar="WDR_RUN_ID", help="The run's id, the same for all nodes of a run.")
@click.option("--data", required=True, envvar="WDR_DATA", type=_EXISTING, help="The folder that holds the logs.")
@WORKSPACE
@ACCEPT_SPAN
@REASON
@LOG_LEVEL
def run_node_command(
    compiled: Path,
    nodes: tuple[str, ...],
    span: int,
    run_id: str,
    data: str,
    workspace: str,
    accept_span: bool,
    reason: str,
    log_level: str,
) -> None:
    """Run one node of a compiled pipeline, or several; safe to try again, whatever became of the last try.

    Exits with 0 if the node is done, with 99 if a gate on data stopped it, and with 1 if it failed. Where a gate
    stopped a scheduler's run: run the gate's node with --accept-span, then have the scheduler run the rest.
    """
    reason = needed_reason(reason, {"--accept-span": accept_span})
    with quiet_imports():
        from pipeline.compile.compiled import RunEnvironment
    environment = RunEnvironment(str(Path(data).absolute()), Workspace.at(workspace))
    for node in nodes:
        _run(compiled.absolute(), environment, node, span, run_id, reason, log_level)


@click.command(name="kubeflow-step")
@click.option("--node", "nodes", required=True, multiple=True, help="The node to run; several run one after another.")
@click.option("--executor-input", required=True, help="Kubeflow's ExecutorInput, as JSON.")
def kubeflow_step(nodes: tuple[str, ...], executor_input: str) -> None:
    """Run one node, or several, as a step of Kubeflow Pipelines."""
    with quiet_imports():
        from pipeline.nodes.names import EXAMPLE_GEN
        from pipeline.runner.kubeflow_step import Step
    step = Step(executor_input)
    if EXAMPLE_GEN in nodes:
        step.wait_for_logs()
    for node in nodes:
        result = _run(step.compiled, step.environment, node, step.span, step.run_id)
        step.report(result.event, result.run_result)


def _run(
    compiled: Path,
    environment: RunEnvironment,
    node: str,
    span: int,
    run_id: str,
    accept_reason: str = "",
    log_level: str = "info",
) -> NodeResult:
    """Runs a node and prints its result; after the last node, the final line, shown by schedulers, names the report."""
    from rich.console import Console

    with quiet_imports():
        from absl import logging

        from pipeline.nodes.names import EXAMPLE_GEN
        from pipeline.outages import outage
        from pipeline.report.console.summary import summary
        from pipeline.runner.run_node import run_node
    logging.set_verbosity(log_level)
    try:
        result = run_node(compiled, environment, node, span, run_id, accept_reason)
    except GateError as error:
        words = f"span {span} is skipped; the next run starts from the last good span: {error}"
        if node != EXAMPLE_GEN:  # logs that are missing or of no use cannot be accepted
            where = ["--data", environment.data_root, "--workspace", str(environment.workspace.root)]
            command = ["wdr", "run-node", "--compiled", str(compiled), "--node", node, "--run-id", run_id, *where]
            words = f"{words}. To let it through, on record: `{accepting(command, span)}`"
        for note in (*notes(error), words):
            click.echo(note, err=True)
        raise click.exceptions.Exit(SKIPPED) from error
    except UserError:
        raise
    except Exception as error:
        if (why := outage(error, environment.workspace)) is not None:
            raise UserError(f"{node} failed: {why}") from error
        raise
    is_cached = result.event.state == "cached"
    click.echo(f"{node}: {'taken from the cache' if is_cached else f'{result.event.seconds:.1f} s'}")
    if result.run_result is not None:
        Console(highlight=False, emoji=False, width=120).print(summary(result.run_result))
        click.echo(f"report: {result.report}")
    return result


@click.command()
@WORKSPACE
@click.option("--keep-runs", type=click.IntRange(min=1), default=30, help="The number of latest runs to keep whole.")
@click.option("--dry-run", is_flag=True, help="Report what would be removed, and remove nothing.")
@AS_JSON
def gc(workspace: str, keep_runs: int, dry_run: bool, as_json: bool) -> None:
    """Remove old runs' artifacts; never what a version that is still there was made from."""
    with quiet_imports():
        from pipeline.cli.display import console_for
        from pipeline.registry.garbage import collect_garbage, garbage_table
    garbage = collect_garbage(Workspace.existing(workspace), keep_runs, dry_run=dry_run)
    if as_json:
        print_document(garbage)
        return
    if garbage.num_bytes:
        console_for(sys.stdout).print(garbage_table(garbage))
    click.echo(f"{garbage.total_bytes / 2**20:,.1f} MB {'would be' if dry_run else 'are'} free")
