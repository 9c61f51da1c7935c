"""`wdr check`: what is wrong with a config and the data, before anything runs."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import AS_JSON, DATA, SPAN, print_document, quiet_imports, read_config


@click.command()
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
        from pipeline.check.source_report import CheckResult, described
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
        print_document(CheckResult(config, found.span, reports, columns, joins, values, training))
