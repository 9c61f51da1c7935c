"""The command `wdr try`: trains configs on the same rows, and compares their models."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import DATA, SPAN, PushedVersion, read_config, uncollected_imports
from pipeline.errors import first_line
from pipeline.workspace import Workspace, new_run_id
from transform.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.trial.trial import Trained

#: A metric's heading, and whether a lower value is better; None if the best value is 1.
_COLUMNS: Mapping[str, tuple[str, bool | None]] = {
    "auc": ("AUC", False),
    "logloss": ("log loss", True),
    "calibration": ("calibration", None),
}


@click.command("try")
@click.argument("configs", nargs=-1, required=True, type=click.Path())
@DATA
@SPAN
@click.option(
    "--suggest",
    is_flag=True,
    help="Compare the one CONFIG with up to three changes of it that are likely to help.",
)
@click.option(
    "--rows", "num_rows", type=click.IntRange(min=1), help="Draw at most so many rows; by default all of the span."
)
@click.option(
    "--against", type=click.Path(), help="The config that the others are compared with; by default the first."
)
@click.option(
    "--base",
    type=PushedVersion(),
    help="Start all trainings from the model of this pushed version; by default from none.",
)
@click.option(
    "--scratch",
    type=click.Path(file_okay=False),
    help="Keep the ingested and transformed rows here for further tries; by default they are removed.",
)
def try_command(
    configs: tuple[str, ...],
    data: str,
    span: int | None,
    suggest: bool,
    num_rows: int | None,
    against: str | None,
    base: str | None,
    scratch: str | None,
) -> None:
    """Train each CONFIG on the same rows of one span, and compare the models; nothing is pushed."""
    reference = against or configs[0]
    paths = list(dict.fromkeys([*([against] if against else []), *configs]))
    if suggest and len(paths) > 1:
        raise click.UsageError(f"`--suggest` changes one config. Received: {', '.join(paths)}")
    if not suggest and len(paths) < 2:
        raise click.UsageError(f"there must be two configs to compare. Received: {', '.join(paths)}")
    loaded = {path: read_config(path) for path in paths}
    if suggest:
        from pipeline.trial.suggestions import suggestions

        loaded |= {suggestion.words: suggestion.config for suggestion in suggestions(loaded[reference])}
    with tempfile.TemporaryDirectory(prefix="wdr-try-") as temporary:
        from pipeline.cli.display import RunDisplay, console_for

        workspace = Workspace.at(scratch or temporary)
        log_path = workspace.logs / f"{new_run_id()}.log"
        with RunDisplay(log_path, to_stderr=True) as display:
            with uncollected_imports():
                from pipeline.trial.trial import saved_model_of, try_configs
            try:
                found = try_configs(
                    loaded,
                    str(Path(data).absolute()),
                    workspace,
                    reference=reference,
                    span=span,
                    num_rows=num_rows,
                    base_model=base and saved_model_of(base),
                    on_event=display.show,
                )
            except UserError:
                raise
            except Exception as error:
                traceback.print_exc()  # to the log
                where = f" (log: {log_path})" if scratch else ""
                raise UserError(f"{display.node or 'the trial'} failed: {first_line(error)}{where}") from error
    for line in verdicts(found, reference):
        click.echo(line)
    console_for(sys.stdout).print(_table(found, reference))


def verdicts(found: Mapping[str, Trained], reference: str) -> list[str]:
    """Returns a sentence for each config but the reference: in which metrics its model is better, or worse."""
    lines = []
    for name, trained in found.items():
        words = []
        for metric, change in trained.changes.items():
            heading, lower_is_better = _COLUMNS[metric]
            if lower_is_better is not None and (change.low > 0 or change.high < 0):
                words.append(f"{'better' if (change.high < 0) == lower_is_better else 'worse'} {heading}")
        if name != reference:
            lines.append(f"{name}: {', '.join(words) or 'no difference beyond chance'} (against {reference})")
    return lines


def _table(found: Mapping[str, Trained], reference: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    rows = found[reference]
    title = f"{rows.num_train:,} training rows, {rows.num_eval:,} evaluation rows; changes with 95 % intervals"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("config", overflow="fold")
    changes = [header for heading, _ in _COLUMNS.values() for header in (heading, "change")]
    for header in (*changes, "rows, CPU s", "training, CPU s"):
        table.add_column(header, justify="right")
    for name, trained in found.items():
        cells = []
        for metric in _COLUMNS:
            change = trained.changes.get(metric)
            shown = "" if change is None else f"{change.value:+.4f} ± {change.half_width:.4f}"
            cells += [f"{trained.metrics[metric].value:.4f}", shown]
        table.add_row(Text(name), *cells, f"{trained.prepare_seconds:.1f}", f"{trained.train_seconds:.1f}")
    return table
