"""`wdr init`: writes the first config of a data set."""

from __future__ import annotations

from pathlib import Path

import click

from transform.errors import InputError


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("tables", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The config; by default DATA's name.yaml.")
@click.option("--label", help="The label's column; by default it is guessed.")
@click.option(
    "--installs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A log of installs, from which the labels are made, for impressions without a label.",
)
@click.option(
    "--rows", "max_rows", type=click.IntRange(2, 1_000_000), default=50_000, help="The most rows to guess from."
)
@click.option("--force", is_flag=True, help="Overwrite the config if it exists.")
def init(
    data: Path,
    tables: tuple[Path, ...],
    out: Path | None,
    label: str | None,
    installs: Path | None,
    max_rows: int,
    force: bool,
) -> None:
    """Write a config guessed from a CSV, JSON Lines or Parquet file, each guess with its reason.

    TABLES are files that are joined to the log DATA by a key, such as those of movies and of users to that of ratings.
    Of a file of impressions of `wdr export-log`, the config reads the export.
    """
    from pipeline.initial_config.config_text import config_name, initial_config
    from pipeline.initial_config.source_lines import shell_word

    if label is not None and installs is not None:
        raise click.UsageError("`--label` cannot be combined with `--installs`: the labels come from one of them")
    out = out or Path(f"{config_name(data)}.yaml")
    if out.exists() and not force:
        raise InputError(f"`{out}` exists; `--force` overwrites it, `--out` names another file")
    found = initial_config(data, label, max_rows, out, installs, tables)
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(found.text)
    except OSError as error:
        raise InputError(f"the config cannot be written: {error.strerror} ({out})") from error
    click.echo(f"label: {found.label}")
    for table in found.tables:
        click.echo(f"table {table}")
    command = f"wdr check {shell_word(out)} --data {shell_word(found.data_root)}"
    click.echo(f"{out} written; correct its guesses, then: {command}")
