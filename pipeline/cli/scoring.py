"""`wdr score` and `wdr explain`: scores of raw rows, and what they consist of; the tables of `wdr rank --explain`."""

from __future__ import annotations

import math
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import AS_JSON, PLAIN, SPAN, PushedVersion, print_document, quiet_imports

if TYPE_CHECKING:  # importing them imports gRPC, TensorFlow's protos and Rich
    from rich.table import Table

    from serving.ranking_client.ranked import Explanation


_MODEL = click.option("--model", required=True, type=PushedVersion(), help="A pushed version.")
_INPUT = click.option(
    "--input", "input_path", required=True, type=click.Path(exists=True, dir_okay=False), help="Raw rows."
)
_TABLES = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="The data folder, from which the config's tables are read.",
)


@click.command()
@_MODEL
@_INPUT
@click.option("--output", "output_path", required=True, type=click.Path(dir_okay=False), help="Where to write.")
@_TABLES
@SPAN
@PLAIN
@AS_JSON
def score(
    model: str, input_path: str, output_path: str, data: str | None, span: int | None, plain: bool, as_json: bool
) -> None:
    """Score raw rows with a pushed model: the input's columns, plus `score`."""
    with quiet_imports():
        from pipeline.batch_scoring.score import score_file

    report = score_file(model, input_path, output_path, data and str(Path(data).absolute()), span, plain=plain)
    if as_json:
        print_document(report)
        return
    click.echo(f"{report.num_scored:,} rows scored ({output_path})")
    if report.num_unscored:
        click.echo(f"{report.num_unscored:,} rows have no score: " + "; ".join(report.problems), err=True)
    for note in report.notes:
        click.echo(note, err=True)


@click.command()
@_MODEL
@_INPUT
@click.option("--rows", type=click.IntRange(min=1), default=5, help="Explain this many rows, from the first.")
@click.option("--strongest", type=click.IntRange(min=1), default=10, help="Print this many summands of each row.")
@_TABLES
@SPAN
@PLAIN
@click.option("--json", "as_json", is_flag=True, help="Print all summands, one JSON object a row.")
def explain(
    model: str,
    input_path: str,
    rows: int,
    strongest: int,
    data: str | None,
    span: int | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Explain raw rows' scores: the wide part's weights by name, the deep part's features, and the base rate."""
    with quiet_imports():
        from pipeline.batch_scoring.explain import explain_file
        from pipeline.cli.display import console_for
        from serving.rank_service.bodies import ItemExplanation
    console = console_for(sys.stdout)
    folder = data and str(Path(data).absolute())
    for number, explanation in explain_file(model, input_path, rows, folder, span, plain=plain):
        if as_json:
            click.echo(ItemExplanation.model_validate(explanation, from_attributes=True).model_dump_json())
        else:
            console.print(explanation_table(f"row {number}", explanation, strongest))


def explanation_table(title: str, explanation: Explanation, strongest: int) -> Table:
    """A table of what an item's logit consists of, which its numbers add up to; the strongest summands come first.

    Args:
      title: What is explained.
      explanation: The explanation.
      strongest: The number of summands to list by name; the rest are added up in one line.
    """
    from rich.table import Table
    from rich.text import Text

    score = (1 + math.tanh(explanation.logit / 2)) / 2
    table = Table(title=Text(f"{printable(title)}: score {score:.6f}, base rate {explanation.base_rate:.6f}"))
    for column, justify in (("part", "left"), ("feature", "left"), ("value", "left"), ("logit", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]

    def add(part: str, feature: str, value: str, logit: float) -> None:
        table.add_row(part, Text(printable(feature)), Text(printable(value)), f"{logit:+.6f}")

    base = explanation.bias + explanation.deep_baseline_logit
    add("base", "bias and the deep part's baseline", "", base)
    summands: list[tuple[str, Any]] = [("wide", s) for s in explanation.wide] + [("deep", s) for s in explanation.deep]
    summands.sort(key=lambda part_and_summand: -abs(part_and_summand[1].logit))
    for part, summand in summands[:strongest]:
        add(part, summand.feature, summand.value, summand.logit)
    for part in ("wide", "deep"):
        rest = [summand.logit for of, summand in summands[strongest:] if of == part]
        if rest:
            add(part, f"{len(rest):,} others", "", math.fsum(rest))
    add("deep", "gap of the integration", "", explanation.gap)
    table.add_section()
    add("", "the score's logit", "", explanation.logit)
    return table


def printable(text: str) -> str:
    """A text from data for a terminal: control characters are escaped."""
    return "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in text)
