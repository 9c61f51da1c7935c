"""The command `wdr run`: runs the pipeline for one span, or for each of several spans."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import shlex
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.options import (
    ACCEPT_SPAN,
    AS_JSON,
    DATA,
    LOG_LEVEL,
    REASON,
    SKIPPED,
    SPAN,
    WORKSPACE,
    accepting,
    needed_reason,
    read_config,
    read_keys,
    uncollected_imports,
)
from pipeline.errors import first_line, notes
from pipeline.workspace import Workspace, new_run_id
from transform.errors import GateError, InputError, UnusableLogsError, UserError

if TYPE_CHECKING:
    from transform.config.beam import Beam
    from transform.config.config import Config

#: Exit code of a run whose model a gate refused, with `--fail-if-refused`.
REFUSED = 3

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
    help="Run once for each of these spans, in order, and print a summary. A span that a gate on data stops, or whose "
    f"logs are missing or of no use, is skipped; the exit code is then {SKIPPED}.",
)
@click.option("--rolling-window", type=click.IntRange(min=1), help="Number of spans to train on; overrides the config.")
@click.option(
    "--beam-arg", "beam_args", multiple=True, help="A Beam pipeline option; all of them override the config's `beam`."
)
@click.option(
    "--force-push",
    is_flag=True,
    help="Push although a gate on quality refuses the model, or a later span's model serves; requires --reason.",
)
@ACCEPT_SPAN
@REASON
@click.option("--fail-if-refused", is_flag=True, help=f"Exit with {REFUSED} if a gate refuses the model.")
@click.option("--verbose", is_flag=True, help="Print all of the run's numbers, not those alone that decide.")
@LOG_LEVEL
@AS_JSON
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
    fail_if_refused: bool,
    verbose: bool,
    log_level: str,
    as_json: bool,
) -> None:
    """Run the pipeline once: ingest, train, validate and, if the model passes, push."""
    reason = needed_reason(reason, {"--force-push": force_push, "--accept-span": accept_span})
    if backfill is not None and (span is not None or force_push or accept_span):
        raise click.UsageError("`--backfill` cannot be combined with `--span`, `--force-push` or `--accept-span`")
    loaded = read_config(config)
    if rolling_window is not None:
        ingestion = dataclasses.replace(loaded.ingestion, window_spans=rolling_window)
        loaded = dataclasses.replace(loaded, ingestion=ingestion)
    if beam_args:
        loaded = dataclasses.replace(loaded, beam=_merge_beam_options(beam_args))
    place, data_root = Workspace.at(workspace), str(Path(data).absolute())
    trying = ("wdr", "try", config, "--suggest", "--data", data)
    shown = _Shown(verbose, log_level, as_json, trying, str(Path(config).absolute()))
    _warn(config, loaded, place, as_json)
    command = ["wdr", "run", config, "--data", data, "--workspace", workspace]
    command += [] if rolling_window is None else ["--rolling-window", str(rolling_window)]
    command += [f"--beam-arg={arg}" for arg in beam_args]
    if backfill is None:
        overruled = {"force_reason": reason if force_push else "", "accept_reason": reason if accept_span else ""}
        outcomes = [_run_span(loaded, place, data_root, span, overruled, command, shown)]
    else:
        outcomes = _backfill(loaded, place, data_root, backfill, command, shown)
    states = {outcome.state for outcome in outcomes}
    if "skipped" in states:
        raise click.exceptions.Exit(SKIPPED)
    if "refused" in states and fail_if_refused:
        raise click.exceptions.Exit(REFUSED)


def _warn(path: str, config: Config, place: Workspace, as_json: bool) -> None:
    """Warns of settings as `wdr check` does; of changed defaults until a version is pushed that has them."""
    from pipeline.check.defaults import changed_defaults, has_current_defaults
    from pipeline.check.training import training_warnings

    for line in training_warnings(config):
        click.echo(f"training: {line}", err=as_json)
    if not has_current_defaults(config, place):
        for line in changed_defaults(config, read_keys(path)):
            click.echo(f"defaults: {line}", err=as_json)


def _merge_beam_options(args: tuple[str, ...]) -> Beam:
    """Returns a config's section `beam` with the options of the command line."""
    from transform.config.beam import Beam, broken_rule

    if (rule := broken_rule(args)) is not None:
        raise InputError(f"`--beam-arg` {rule}. Received: {list(args)}")
    return Beam(args=args)


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What a run prints.

    Attributes:
      verbose: All of its numbers, not those alone that decide.
      log_level: Its log's level.
      as_json: The result as JSON.
      trying: The words of the command that tries settings, without the span.
      config_file: The config's file, as the report names it.
    """

    verbose: bool
    log_level: str
    as_json: bool
    trying: Sequence[str]
    config_file: str


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """How the run of a span ended: the state, which a backfill counts, and more words on it."""

    state: Literal["pushed", "refused", "skipped", "not finished"]
    words: str = ""


def _run_span(
    config: Config,
    place: Workspace,
    data_root: str,
    span: int | None,
    overruled: Mapping[str, str],
    command: Sequence[str],
    shown: _Shown,
) -> _Outcome:
    """Runs once; where a gate on data stops the span, the error ends with the command that lets it through."""
    from components.ingestion.spans import has_spans
    from pipeline.check.rows import check_span

    found = check_span(config, data_root, span)  # now: another span may be the latest when the run ends
    try:
        return _run_once(config, place, data_root, span, overruled, shown)
    except GateError as error:
        named = found.span if has_spans(config) else None
        raise GateError(f"{error}. To let it through, on record: `{accepting(command, named)}`") from error


def _backfill(
    config: Config, place: Workspace, data_root: str, spans: range, command: Sequence[str], shown: _Shown
) -> list[_Outcome]:
    """Runs once for each span; ends with a summary of the spans, also where an error ends it."""
    from pipeline.check.rows import check_span

    outcomes: dict[int, _Outcome] = {}
    try:
        for span in spans:
            outcomes[span] = _Outcome("not finished")
            try:
                check_span(config, data_root, span)
                outcomes[span] = _run_once(config, place, data_root, span, {}, shown)
            except (GateError, UnusableLogsError) as error:
                for note in notes(error):
                    click.echo(note, err=True)
                click.echo(f"span {span} is skipped; the next run starts from the last good span: {error}", err=True)
                words = ": its logs are missing or of no use"
                if isinstance(error, GateError):
                    words = f" by a gate on data; to let it through, on record: `{accepting(command, span)}`"
                outcomes[span] = _Outcome("skipped", words)
    finally:
        for line in _summary(spans, outcomes):
            click.echo(line, err=shown.as_json)
    return list(outcomes.values())


def _summary(spans: range, outcomes: Mapping[int, _Outcome]) -> Iterator[str]:
    numbers = collections.Counter(outcome.state for outcome in outcomes.values())
    counted = [f"{number} {state}" for state, number in numbers.items()]
    if later := spans[len(outcomes) :]:
        counted.append(f"{len(later)} not run")
    yield f"backfill of {len(spans)} spans: {', '.join(counted)}"
    for span, outcome in outcomes.items():
        yield f"span {span}: {outcome.state}{outcome.words}"


def _run_once(
    config: Config,
    place: Workspace,
    data_root: str,
    span: int | None,
    overruled: Mapping[str, str],
    shown: _Shown,
) -> _Outcome:
    """Runs the pipeline, whose span's files are checked, and prints the result."""
    from pipeline.cli.display import RunDisplay

    started = time.monotonic()
    run_id = new_run_id()
    log_path = place.logs / f"{run_id}.log"
    click.echo(f"log: {log_path}", err=shown.as_json)
    with RunDisplay(log_path, to_stderr=shown.as_json) as display:
        with uncollected_imports():
            from absl import logging

            from components.ingestion.spans import has_spans
            from components.model_store.versions import versions
            from pipeline.check.training import few_steps
            from pipeline.nodes.settings import RunSettings
            from pipeline.outages import outage
            from pipeline.report.console.headline import headline
            from pipeline.report.console.summary import summary
            from pipeline.runner.run import run as run_pipeline

        logging.set_verbosity(shown.log_level)
        settings = RunSettings(data_root, place, span, **overruled, config_file=shown.config_file)
        try:
            run_result = run_pipeline(config, settings, run_id, display.show)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # SystemExit: Beam's option parser exits the process
            with contextlib.suppress(OSError):  # on a full disk the log cannot be written either
                traceback.print_exc()  # to the log
            what = outage(error, place) or first_line(error)
            raise UserError(f"{display.node or 'the run'} failed: {what} (log: {log_path})") from error
        serving = max(versions(str(place.serving(config.name))), default=None)
        seconds = time.monotonic() - started
        report = place.reports / f"{run_id}.json"
        of_span = ("--span", str(run_result.span)) if has_spans(config) else ()
        trying = shlex.join([*shown.trying, *of_span])
        display.console.print(headline(run_result, serving, seconds, report, trying))
        for line in few_steps(config, run_result.training.num_examples):
            display.console.print(f"training: {line}")
        if shown.verbose:
            display.console.print(summary(run_result))
    if shown.as_json:
        click.echo(run_result.to_json(), nl=False)
    if run_result.version is None:
        return _Outcome("refused")
    return _Outcome("pushed", f" as version {run_result.version}")
