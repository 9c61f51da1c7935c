"""The command `wdr run`: runs the pipeline for one span, or for each of several spans."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import ACCEPT_SPAN, DATA, REASON, SPAN, WORKSPACE, needed_reason, read_config
from pipeline.errors import first_line

if TYPE_CHECKING:
    from pipeline.workspace import Workspace
    from transform.config.config import Config

_SPANS = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


class Spans(click.ParamType[range]):
    """A range of spans, `FROM..TO`, both included."""

    name = "FROM..TO"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        found = _SPANS.fullmatch(str(value))
        if found is None or int(found[1]) > int(found[2]):
            self.fail(f"spans are two numbers, the lower one first, such as 3..7. Received: {value!r}", param, ctx)
        return range(int(found[1]), int(found[2]) + 1)


@click.command()
@click.argument("config", type=click.Path())
@DATA
@WORKSPACE
@SPAN
@click.option(
    "--backfill",
    type=Spans(),
    help="Run once for each of these spans, in order; a span that a gate on data stops is skipped.",
)
@click.option("--rolling-window", type=click.IntRange(min=1), help="Number of spans to train on; overrides the config.")
@click.option(
    "--beam-arg", "beam_args", multiple=True, help="A Beam pipeline option; overrides those of the local runner."
)
@click.option(
    "--force-push",
    is_flag=True,
    help="Push although a gate on quality refuses the model, or a later span's model serves; requires --reason.",
)
@ACCEPT_SPAN
@REASON
def run(
    config: str,
    data: str,
    workspace: str,
    span: int | None,
    backfill: range | None,
    rolling_window: int | None,
    beam_args: tuple[str, ...],
    force_push: bool,
    accept_span: bool,
    reason: str,
) -> None:
    """Run the pipeline once: ingest, train, validate and, if the model passes, push."""
    reason = needed_reason(reason, {"--force-push": force_push, "--accept-span": accept_span})
    if backfill is not None and (span is not None or force_push or accept_span):
        raise click.UsageError("`--backfill` cannot be combined with `--span`, `--force-push` or `--accept-span`")
    from pipeline.workspace import Workspace

    loaded = read_config(config)
    if rolling_window is not None:
        ingestion = dataclasses.replace(loaded.ingestion, window_spans=rolling_window)
        loaded = dataclasses.replace(loaded, ingestion=ingestion)
    place, data_root = Workspace.at(workspace), str(Path(data).absolute())
    if backfill is None:
        overruled = {"force_reason": reason if force_push else "", "accept_reason": reason if accept_span else ""}
        _run_once(loaded, place, data_root, span, beam_args, overruled)
        return
    from transform.errors import GateError, UnusableLogsError

    for each in backfill:
        try:
            _run_once(loaded, place, data_root, each, beam_args, {})
        except (GateError, UnusableLogsError) as error:
            click.echo(f"span {each} is skipped; the next run starts from the last good span: {error}", err=True)


def _run_once(
    config: Config,
    place: Workspace,
    data_root: str,
    span: int | None,
    beam_args: tuple[str, ...],
    overruled: Mapping[str, str],
) -> None:
    from pipeline.check import check_span
    from pipeline.cli.display import RunDisplay
    from pipeline.workspace import new_run_id
    from transform.errors import UserError

    check_span(config, data_root, span)  # before TFX is imported, which takes seconds
    run_id = new_run_id()
    log_path = place.logs / f"{run_id}.log"
    click.echo(f"log: {log_path}")
    with RunDisplay(log_path) as display:
        from absl import logging

        from pipeline.create import LOCAL_BEAM_ARGS, RunSettings
        from pipeline.outages import outage
        from pipeline.report.summary import summary
        from pipeline.runner.run import run as run_pipeline

        logging.set_verbosity(logging.INFO)
        settings = RunSettings(data_root, place, span, beam_args or LOCAL_BEAM_ARGS, **overruled)
        try:
            run_result = run_pipeline(config, settings, run_id, display.show)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # SystemExit: Beam's option parser exits the process
            with contextlib.suppress(OSError):  # on a full disk the log cannot be written either
                traceback.print_exc()  # to the log
            what = outage(error, place) or first_line(error)
            raise UserError(f"{display.node or 'the run'} failed: {what} (log: {log_path})") from error
        display.console.print(summary(run_result))
