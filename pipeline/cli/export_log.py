"""`wdr export-log`: the serving log as Parquet by hour, to train on."""

from __future__ import annotations

import click

from pipeline.cli.options import AS_JSON, print_document, quiet_imports, read_config


@click.command("export-log")
@click.argument("config", type=click.Path())
@click.option(
    "--log",
    "logs",
    required=True,
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="A folder of the serving log; may be given several times.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False), help="The folder to write to.")
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False),
    help="The folder of the model's versions, whose catalogs have the features of items that were sent by id.",
)
@click.option(
    "--log-key",
    type=click.Path(exists=True, dir_okay=False),
    help="The file of keys for the MAC of request ids: events whose id is forged are counted as such.",
)
@click.option(
    "--events",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="A folder of further events, as .jsonl files; may be given several times.",
)
@AS_JSON
def export_log_command(
    config: str,
    logs: tuple[str, ...],
    out: str,
    model: str | None,
    log_key: str | None,
    events: tuple[str, ...],
    as_json: bool,
) -> None:
    """Turn what is new in the serving log into Parquet by hour; a source of the format serving_log reads it."""
    loaded = read_config(config)
    with quiet_imports():
        from components.ingestion.served.exported import ExportRecord
        from pipeline.batch_scoring.raw_rows import model_config
        from pipeline.log_export.export import export_log
        from pipeline.log_export.logged_candidates import catalogs_of_versions

    record = export_log(loaded, logs, out, catalogs_of_versions(model, model_config), log_key, events)
    if as_json:
        print_document(record or ExportRecord((), ()))
        return
    if record is None:
        click.echo("nothing is new")
        return
    click.echo(
        f"{len(record.read):,} files read: {record.num_requests:,} requests, {record.num_candidates:,} candidates and "
        f"{record.num_events:,} events in {len(record.written):,} files ({out})"
    )
    if record.skipped:
        click.echo("skipped: " + ", ".join(f"{reason} {n:,}" for reason, n in record.skipped.items()), err=True)
    if record.lost:
        number, of = sum(record.lost.values()), len(record.lost)
        click.echo(f"lost before they were written: {number:,} records, by the counters of {of:,} writers", err=True)
