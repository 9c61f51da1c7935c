"""`wdr check`: what is wrong with a config and the data, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import AS_JSON, SPAN, print_document, quiet_imports, read_config, read_keys
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from transform.config.config import Config


@click.command()
@click.argument("config", type=click.Path())
@click.option("--data", type=click.Path(exists=True, file_okay=False), help="The folder that holds the logs.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False),
    help="A workspace: check that its database and its folders are whole and of the same moment, as after a restore.",
)
@SPAN
@click.option(
    "--rows", "max_rows", type=click.IntRange(min=1), default=100_000, help="Number of rows to read from each source."
)
@click.option(
    "--effective",
    "prints_effective",
    is_flag=True,
    help="Print the config with nothing left out, instead; it takes neither --data nor --workspace.",
)
@AS_JSON
def check(
    config: str,
    data: str | None,
    workspace: str | None,
    span: int | None,
    max_rows: int,
    prints_effective: bool,
    as_json: bool,
) -> None:
    """Read config, data and workspace and say what is wrong, before anything runs; give --data, --workspace or both."""
    if prints_effective and (data is not None or workspace is not None or as_json):
        raise click.UsageError("`--effective` cannot be combined with `--data`, `--workspace` or `--json`")
    if as_json and data is None:
        raise click.UsageError("`--json` goes with `--data` only")
    if not prints_effective and data is None and workspace is None:
        raise click.MissingParameter(param_type="option", param_hint="'--data' or '--workspace'")
    loaded = read_config(config)
    if prints_effective:
        from transform.config.effective import effective_yaml

        click.echo(effective_yaml(loaded), nl=False)
    if data is not None:
        _check(config, loaded, data, span, max_rows, as_json)
    if workspace is not None:
        with quiet_imports():
            from pipeline.check.workspace import check_workspace
        click.echo(f"workspace: {check_workspace(Workspace.existing(workspace))}", err=as_json)


def _check(config: str, loaded: Config, data: str, span: int | None, max_rows: int, as_json: bool) -> None:
    """Checks config and data, and prints what is found."""
    with quiet_imports():
        from components.ingestion.spans import resolve_span
        from pipeline.beam_options import check_beam
        from pipeline.check.columns import columns_of_no_row
        from pipeline.check.defaults import changed_defaults
        from pipeline.check.features import doubtful_features
        from pipeline.check.first_rows import ReadRows
        from pipeline.check.labels import rare_label, small_splits
        from pipeline.check.positions import told_of_positions
        from pipeline.check.requests import differing_contexts
        from pipeline.check.rows import check_files, check_rows, one_label
        from pipeline.check.source_report import CheckResult, described
        from pipeline.check.spans import unmatched_joins, values_outside_windows
        from pipeline.check.training import few_steps, num_training_rows, training_warnings
        from transform.feature import IMPRESSIONS

    def found_in(subject: str, sentences: Iterable[str]) -> list[str]:
        lines = list(sentences)
        for line in lines:
            click.echo(f"{subject}: {line}", err=as_json)
        return lines

    check_beam(loaded.beam)
    data_root = str(Path(data).absolute())
    found = resolve_span(loaded, data_root, span)
    click.echo(f"{config} is valid; span {found.span}", err=as_json)
    check_files(loaded, found)
    no_row = columns_of_no_row(loaded, found, max_rows)
    impressions = ReadRows(loaded, found, IMPRESSIONS, max_rows)
    reports = check_rows(loaded, found, max_rows, impressions)
    for report in reports:
        click.echo(described(report), err=as_json)
    log = next(report for report in reports if report.name == IMPRESSIONS)
    labels = found_in("labels", [*one_label(loaded, reports), *rare_label(loaded, log)])
    splits = found_in("splits", small_splits(loaded, found, impressions, log))
    columns = found_in("columns", no_row)
    joins = found_in("joins", unmatched_joins(loaded, found, max_rows))
    with quiet_imports():  # for a derived feature it imports TensorFlow
        outside = values_outside_windows(loaded, data_root, found, max_rows)
    values = found_in("values", outside)
    features = found_in("features", doubtful_features(loaded, impressions))
    positions = found_in("positions", told_of_positions(loaded, impressions))
    requests = found_in("requests", differing_contexts(loaded, impressions))
    steps = few_steps(loaded, num_training_rows(loaded, log))
    training = found_in("training", [*steps, *training_warnings(loaded)])
    defaults = found_in("defaults", changed_defaults(loaded, read_keys(config)))
    if as_json:
        result = CheckResult(
            config, found.span, reports, columns, joins, values, training, defaults, requests, labels, splits, features,
            positions,
        )  # fmt: skip
        print_document(result)
