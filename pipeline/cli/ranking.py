"""The commands that query a model server: `wdr rank`, `load-test` and `tune-client`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from transform.errors import GateError, InputError, UserError

if TYPE_CHECKING:  # importing them imports gRPC
    from serving.ranking_client.features import Candidate
    from serving.ranking_client.settings import ClientSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--server", metavar="HOST:PORT", help="The model server's gRPC address.  [default: 127.0.0.1:8500]"),
    click.option("--model", help="The model's name; required without --settings."),
    click.option("--version", type=click.IntRange(min=1), help="Use this version instead of the newest."),
    click.option("--label", help="Use the version with this label, such as `stable`."),
    click.option("--deadline-seconds", type=float, help="The time limit of one ranking.  [default: 1]"),
    click.option(
        "--ca-certificate", type=click.Path(dir_okay=False), help="Use TLS; the certificate authority's PEM file."
    ),
    click.option("--client-certificate", type=click.Path(dir_okay=False), help="The client's certificate, a PEM file."),
    click.option("--client-key", type=click.Path(dir_okay=False), help="The certificate's private key, unencrypted."),
    click.option("--token-file", type=click.Path(dir_okay=False), help="A file with the server's bearer token."),
    click.option(
        "--settings", "settings_path", type=click.Path(dir_okay=False), help="A JSON file of client settings."
    ),
)
_REQUESTS = click.option(
    "--requests", "requests_path", required=True, type=click.Path(exists=True), metavar="VERSION|FILE",
    help="A pushed version, whose warm-up requests and catalog are used, or a JSON Lines file of bodies of /rank.",
)  # fmt: skip
_CANDIDATES = click.option("--candidates", type=click.IntRange(min=1), default=200, help="Candidates per request.")

#: The time limit of the first call of `wdr rank`, which asks for the model's signatures; the ranking has its own.
_LOOK_SECONDS = 10.0

#: The number of summands that `wdr rank --explain` prints of each item.
_STRONGEST = 10


def client_options(command: Command) -> Command:
    """Adds the options of a ranking client to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def client_settings(settings_path: str | None, **given: Any) -> ClientSettings:
    """Returns the settings of a ranking client by the values of `client_options`."""
    from serving.ranking_client.settings import make_settings

    return make_settings(settings_path, **given)


@click.command()
@client_options
@click.option("--context", required=True, help='The context\'s features as JSON: {"country": "us", "hour": 20}.')
@click.option(
    "--items", required=True, help="Item ids, comma-separated, or @FILE with an id or an item as JSON per line."
)
@click.option("-k", type=click.IntRange(min=1), help="Print only the k best candidates.")
@click.option("--logits", is_flag=True, help="Print the wide and deep logits as well.")
@click.option("--explain", is_flag=True, help="Print what each score consists of as well; at most 100 candidates.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as /rank returns it.")
def rank(context: str, items: str, k: int | None, logits: bool, explain: bool, as_json: bool, **client: Any) -> None:
    """Rank candidates for one user; a feature that the model does not have is an error."""
    settings = client_settings(**client, strict=True)
    from rich.table import Table
    from rich.text import Text

    from pipeline.cli.display import console_for
    from pipeline.cli.scoring import explanation_table, printable
    from serving.rank_service.bodies import RankResponse
    from serving.ranking_client.client import RankingClient

    with RankingClient(settings) as ranker:
        # With a time limit of its own, so that a busy server, too, says that it does not have the model.
        ranker.signatures(max(_LOOK_SECONDS, settings.deadline_seconds))
        ranking = ranker.rank(_context(context), _candidates(items), k, logits=logits, explain=explain)
    if as_json:
        click.echo(RankResponse.of(ranking).model_dump_json(exclude_none=True))
        return
    has_catalog = any(item.in_catalog is not None for item in ranking.items)
    columns = [
        "item",
        "score",
        *(["wide logit", "deep logit"] if logits else []),
        *(["in catalog"] if has_catalog else []),
    ]
    table = Table(title=f"{ranking.model}, version {ranking.version}")
    for column in ("", *columns):
        table.add_column(column, justify="left" if column == "item" else "right")
    for place, (item_id, *numbers, in_catalog) in enumerate(ranking.items, 1):
        catalog = ["yes" if in_catalog else "no"] if has_catalog else []
        shown = Text(printable(item_id))
        table.add_row(f"{place}", shown, *(f"{number:.6f}" for number in numbers if number is not None), *catalog)
    for sentence in ranking.warnings:
        click.echo(f"warning: {sentence}", err=True)
    console = console_for(sys.stdout)
    console.print(table)
    for item, explanation in zip(ranking.items, ranking.explanations, strict=False):
        console.print(explanation_table(item.item_id, explanation, _STRONGEST))


@click.command("load-test")
@client_options
@_REQUESTS
@_CANDIDATES
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=50.0, help="Requests per second.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, help="Duration of each rate.")
@click.option(
    "--p99-ms", type=click.FloatRange(min=0, min_open=True), help="Find the largest rate with at most this p99."
)
@click.option("--plot", type=click.Path(dir_okay=False), help="Plot the latencies to this file (.png, .svg or .pdf).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def load_test(
    requests_path: str,
    candidates: int,
    rate: float,
    seconds: float,
    p99_ms: float | None,
    plot: str | None,
    as_json: bool,
    **client: Any,
) -> None:
    """Send requests on schedule, answered or not, and measure from when each was to be sent."""
    settings = client_settings(**client)
    from pipeline.cli.display import console_for
    from serving.model_server.protos import import_protos_alone

    import_protos_alone()  # must precede the first import of TF Serving's protos, which would import all of TensorFlow
    from serving.load_test.load import LoadReport, largest_rate, load
    from serving.load_test.load_report import load_json, load_table, plot_load
    from serving.load_test.recorded import read_recorded

    requests = read_recorded(requests_path).requests(candidates)
    reports: list[LoadReport] = []

    def try_rate(rate: float) -> LoadReport:
        reports.append(asyncio.run(load(settings, requests, rate, seconds)))
        if not as_json:
            console_for(sys.stdout).print(load_table(reports[-1]))
        return reports[-1]

    best = try_rate(rate) if p99_ms is None else largest_rate(try_rate, rate, p99_ms)
    if as_json:
        click.echo(json.dumps([load_json(report) for report in reports]))
    answered = [report for report in reports if report.latencies]
    if plot and answered:
        plot_load(answered, plot)
    if best is None:
        raise GateError(
            f"p99 must be at most {p99_ms:g} ms at the first rate. Received: it is not at {rate:g} requests/s"
        )
    if p99_ms is not None and not as_json:
        found = f"{best.rate:.0f} requests/s, {best.candidates_per_second:,.0f} candidates/s"
        click.echo(f"p99 of at most {p99_ms:g} ms up to {found}")
    if p99_ms is None and best.errors:
        raise UserError(
            f"every request must be answered. Received: {best.errors.total():,} errors: {dict(best.errors)}"
        )


@click.command("tune-client")
@client_options
@_REQUESTS
@_CANDIDATES
@click.option("--sizes", default="25,50,100", help="Numbers of candidates per part to try, comma-separated.")
@click.option("--repetitions", type=click.IntRange(min=1), default=200, help="Requests per setting.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The file for the client settings.")
def tune_client(requests_path: str, candidates: int, sizes: str, repetitions: int, out: str, **client: Any) -> None:
    """Measure whether requests are faster in parallel parts, and write settings with the best size."""
    import dataclasses
    import statistics

    settings = client_settings(**client)
    from serving.model_server.protos import import_protos_alone

    import_protos_alone()  # as above
    from serving.load_test.recorded import read_recorded
    from serving.load_test.split import choose_part_size, measure_part_sizes
    from serving.ranking_client.settings import write_settings

    try:
        numbers = sorted({int(size) for size in sizes.split(",")})
    except ValueError as error:
        raise InputError(f"--sizes must be comma-separated numbers. Received: {sizes!r}") from error
    requests = read_recorded(requests_path).requests(candidates)
    milliseconds = measure_part_sizes(settings, requests, numbers, repetitions)
    for size, times in milliseconds.items():
        way = "one call" if size is None else f"parts of {size}"
        tail = statistics.quantiles(times, n=100)[-1] if len(times) > 1 else times[0]
        click.echo(f"{way}: median {statistics.median(times):.2f} ms, p99 {tail:.2f} ms")
    best = choose_part_size(milliseconds)
    write_settings(dataclasses.replace(settings, part_size=best), out)
    click.echo(f"chosen: {'one call' if best is None else f'parts of {best}'} ({out})")


def _context(text: str) -> dict[str, Any]:
    try:
        context = json.loads(text)
    except ValueError as error:
        raise InputError(f"--context must be JSON: {error}. Received: {text[:100]}") from error
    if not isinstance(context, dict):
        raise InputError(f"--context must be a JSON object. Received: {text[:100]}")
    return context


def _candidates(items: str) -> list[Candidate]:
    from pydantic import ValidationError

    from serving.rank_service.bodies import NewItem

    if not items.startswith("@"):
        return [item.strip() for item in items.split(",") if item.strip()]
    candidates: list[Candidate] = []
    for number, line in enumerate(Path(items[1:]).read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("{"):
            candidates += [line.strip()] if line.strip() else []
            continue
        try:
            item = NewItem.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{where}: {first['msg']} (line {number} of {items[1:]})") from error
        candidates.append((item.id, item.features))
    return candidates
