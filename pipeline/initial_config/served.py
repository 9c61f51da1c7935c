"""Writes the first config of a log of served rankings from a file that `wdr export-log` wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from components.ingestion.served.exported import EXPORTS
from pipeline.initial_config.features import Guess, guess_columns
from pipeline.initial_config.samples.reading import read_sample
from pipeline.initial_config.samples.sample import Column, Sample, shown
from pipeline.initial_config.source_lines import ATTRIBUTION_SECONDS, shell_word, yaml_value
from transform.combinations import USUAL_MIN_COUNT
from transform.config.serving_log import IMPRESSION_ID, ITEM_ID, REQUEST_ID, SERVING_LOG, TIMESTAMP
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError
from transform.feature import Side

_SIDES: tuple[Side, ...] = ("context", "item")

#: The name of the feature that is the candidate's id; the log has it under a name of its own.
_ITEM = "item"


def is_export(data: Path) -> bool:
    """Whether a file is in a folder that `wdr export-log` wrote: OUT/DAY/FILE.parquet beside OUT/exports/."""
    return data.suffix == ".parquet" and (data.absolute().parent.parent / EXPORTS).is_dir()


def served_root(data: Path) -> Path:
    """Returns the folder that `--data` names: the one above the folder of exports."""
    return data.absolute().parent.parent.parent


def served_lines(data: Path, max_rows: int, out: Path, name: str) -> Iterator[str]:
    """Yields the lines of the config.

    Args:
      data: A file of impressions of an export.
      max_rows: The most rows that are read.
      out: The file that the config will be written to.
      name: The config's name.

    Raises:
      InputError: If the file is not one of impressions, or no candidate has a feature.
    """
    sample = read_sample(data, max_rows)
    names = {column.name for column in sample.columns}
    if not names >= {REQUEST_ID, ITEM_ID, TIMESTAMP, "score"}:
        raise InputError(
            "of an export of the serving log, the first config needs a file of impressions: "
            f"OUT/DAY/impressions-HOUR-ID.parquet. Received: {data}"
        )
    guesses = [guess for side in _SIDES for guess in _of_side(sample, side)]
    if not any(guess.role == "feature" for guess in guesses):
        raise InputError(f"a config needs a column to learn from: no candidate has a feature of its own ({data})")
    folder = data.absolute().parent.parent.name
    root = served_root(data)
    yield f"# Guessed by `wdr init` from {sample.num_rows:,} rows of {shown(data.name)}, a log of served rankings."
    yield f"#   wdr check {shell_word(out)} --data {shell_word(root)}"
    yield f"#   wdr run {shell_word(out)} --data {shell_word(root)} --workspace runs/{name}"
    yield f"name: {yaml_value(name)}"
    yield ""
    yield "sources:"
    yield "  impressions:"
    yield f"    path: {yaml_value(folder + '/{YYYY}-{MM}-{DD}/impressions-*.parquet')}"
    yield f"    format: {SERVING_LOG}  # what was shown is an impression, with its features as they were scored"
    yield f"    impression_id: {IMPRESSION_ID}"
    yield f"    request_id: {REQUEST_ID}"
    yield f"    timestamp: {TIMESTAMP}"
    yield f"    item_id: {_ITEM}"
    yield "  installs:"
    yield f"    path: {yaml_value(folder + '/{YYYY}-{MM}-{DD}/events-*.parquet')}"
    yield f"    format: {SERVING_LOG}"
    yield f"    keys: [{REQUEST_ID}, {ITEM_ID}]"
    yield f"    timestamp: {TIMESTAMP}"
    yield f"    attribution_seconds: {ATTRIBUTION_SECONDS}  # an install later than this after its request is no label"
    yield ""
    yield "ingestion:"
    yield "  split_by: request_hash  # the candidates of one request are in one split"
    yield "  eval_fraction: 0.1"
    yield ""
    yield "features:"
    yield f"  - {{name: {_ITEM}, side: item, kind: categorical, vocabulary: {{min_count: {USUAL_MIN_COUNT}}}}}"
    for guess in guesses:
        if guess.role == "feature":
            settings = {"name": guess.name, "side": guess.side, "kind": guess.kind, **guess.rule}
            yield f"  - {yaml_value(settings)}  # {guess.reason}"
        else:
            yield f"  # left out: {shown(f'{guess.side}.{guess.column}')}: {guess.reason}"
    yield ""
    yield "evaluation:"
    yield "  thresholds:"
    yield "    auc: {min: 0.5}  # a better model than chance is pushed; raise it to what you need"


def _of_side(sample: Sample, side: Side) -> list[Guess]:
    """Guesses the features of one side, by their names in the model that served."""
    prefix = f"{side}."
    columns = tuple(
        dataclasses.replace(column, name=column.name.removeprefix(prefix))
        for column in sample.columns
        if column.name.startswith(prefix)
    )
    guesses = guess_columns(
        dataclasses.replace(sample, columns=columns), None, (), DEFAULT_LIST_SEPARATOR, taken=[_ITEM]
    )
    return [_as_logged(guess, side, columns) for guess in guesses if guess.rule.get("derive") is None]


def _as_logged(guess: Guess, side: Side, columns: tuple[Column, ...]) -> Guess:
    """A feature keeps its name in the log, by which it is read; another name would be another column."""
    of_log = {column.name for column in columns}
    if guess.role == "feature" and guess.name not in of_log:
        reason = f"its name {guess.column!r} must be changed in the model that serves to be read again"
        return Guess(guess.column, "left_out", reason, side=side)
    return dataclasses.replace(guess, side=side)
