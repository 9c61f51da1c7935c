"""Scores raw rows with a pushed model: the input's columns, plus `score`."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from components.ingestion.rows import RawRow, RowError
from components.ingestion.spans import resolve_span
from components.model_store.versions import verify
from pipeline.batch_scoring.input_rows import InputRows, format_of, input_rows
from pipeline.batch_scoring.raw_rows import ExampleMaker, model_config, read_catalog, read_table
from transform.config.config import Config
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError
from transform.ranking import snapshot_tables
from transform.signature_names import SERVING_SIGNATURE

SCORE = "score"
BATCH_SIZE = 1000
#: The reason is reported for at most this many unscored rows.
MAX_PROBLEMS = 5
OUTPUT_FORMATS = ("csv", "tsv", "jsonl")


@dataclasses.dataclass(frozen=True)
class ScoreReport:
    """Numbers of scored and unscored rows.

    Attributes:
      num_scored: Number of rows with a score.
      num_unscored: Number of rows without one.
      problems: One sentence for each of the first rows without a score.
      notes: What else a user should know of the input, one sentence each.
    """

    num_scored: int
    num_unscored: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def score_file(
    model_path: str,
    input_path: str,
    output_path: str,
    data_root: str | None = None,
    span: int | None = None,
    *,
    plain: bool = False,
) -> ScoreReport:
    """Scores a file of raw rows.

    A row that cannot be scored (for example, text in a numeric column) keeps its place and gets an empty score.

    Args:
      model_path: A pushed version.
      input_path: csv, tsv, jsonl (each also with `.gz`) or parquet, by the name's ending; a file of the log's format
        is read by the log's `text` settings.
      output_path: csv, tsv or jsonl, by the name's ending.
      data_root: The folder from which the config's tables are read; None uses the catalog stored with the model.
      span: The span of those tables; None takes the latest.
      plain: Whether the input is in its format's usual form, whatever the log's `text` settings.

    Returns:
      The numbers of rows, the first problems, and notes.

    Raises:
      InputError: If the input cannot be read or lacks a column, a file name has another ending, or the model's files
        differ from those that were pushed.
    """
    output_format = format_of(output_path)
    if output_format not in OUTPUT_FORMATS or output_path.endswith(".gz"):
        raise InputError(f"the output's name must end in one of {[f'.{f}' for f in OUTPUT_FORMATS]}: {output_path}")
    config = model_config(model_path)
    verify(model_path)
    rows = input_rows(config, input_path, plain=plain)
    if SCORE in rows.columns:
        raise InputError(f"the input has a column `{SCORE}` already ({input_path})")
    maker = example_maker(config, rows, model_path, data_root, span)
    signature = tf.saved_model.load(model_path).signatures[SERVING_SIGNATURE]
    problems: list[str] = []
    num_scored = num_unscored = num_unreadable = 0
    with _whole_or_not_at_all(output_path) as file:
        write = _writer(file, output_format, rows.columns)
        for batch in _batches(rows.read(config)):
            examples: list[bytes | None] = []
            for row in batch:
                try:
                    if row.values is None:
                        raise RowError(row.reason, row.detail)
                    examples.append(maker.example(rows.values(row.values)))
                except RowError as error:
                    examples.append(None)
                    if len(problems) < MAX_PROBLEMS:
                        problems.append(f"{rows.place_of(row)}: {error.detail}")
            scores = _score(signature, [e for e in examples if e is not None])
            for row, example in zip(batch, examples, strict=True):
                try:
                    write(row.values, None if example is None else next(scores))
                except csv.Error as error:  # only when writing tsv
                    raise InputError(
                        f"a tsv file cannot hold a tab or a line end in a value; write csv or jsonl. "
                        f"Received: {rows.place_of(row)} ({input_path})"
                    ) from error
            num_unreadable += sum(row.values is None for row in batch)
            num_unscored += examples.count(None)
            num_scored += len(examples) - examples.count(None)
    notes = (rows.text_words,) if num_unreadable and rows.text_words else ()
    return ScoreReport(num_scored, num_unscored, tuple(problems), notes)


@contextlib.contextmanager
def _whole_or_not_at_all(path: str) -> Iterator[TextIO]:
    """Opens a file for writing; the file appears under its name only after it has been written completely."""
    part = Path(f"{path}.part")
    try:
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def example_maker(
    config: Config, rows: InputRows, model_path: str, data_root: str | None, span: int | None
) -> ExampleMaker:
    """Returns what converts a file's rows to tf.Examples; raises InputError if the rows lack a column."""
    tables = tables_of(config, model_path, data_root, span)
    try:
        return ExampleMaker(config, tables, rows.readable)
    except InputError as error:
        if rows.text_words:
            raise InputError(f"{error}; {rows.text_words} ({rows.path})") from error
        raise


def tables_of(
    config: Config, model_path: str, data_root: str | None, span: int | None
) -> dict[str, Mapping[str, tf.train.Features]]:
    """The rows by key of the tables that raw rows are joined with: of the model's own catalog, or of a data folder."""
    if data_root is None:
        return {name: read_catalog(model_path, name) for name in snapshot_tables(config)}
    files = resolve_span(config, data_root, span).files
    return {name: read_table(config, name, files[name][""]) for name in config.sources.tables}


def _batches(rows: Iterator[RawRow]) -> Iterator[list[RawRow]]:
    batch: list[RawRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


def _score(signature: Any, examples: list[bytes]) -> Iterator[np.float32]:
    if examples:
        (scores,) = signature(tf.constant(examples)).values()
        yield from scores.numpy()


def _writer(file: Any, output_format: str, columns: Sequence[str]) -> Any:
    """Returns a function that writes a row and its score; nine significant digits restore a float32 exactly."""
    if output_format == "jsonl":

        def write_json(row: Mapping[str, Any] | None, score: np.float32 | None) -> None:
            number = None if score is None else float(f"{score:.9g}")
            # A date or a decimal of a Parquet file is no JSON; csv and tsv have its text, too.
            values = {} if row is None else {name: _finite(_plain(row.get(name))) for name in columns}
            file.write(json.dumps({**values, SCORE: _finite(number)}, default=str, allow_nan=False) + "\n")

        return write_json
    if output_format == "tsv":
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
    else:
        writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, SCORE])

    def write_row(row: Mapping[str, Any] | None, score: np.float32 | None) -> None:
        number = "" if score is None else f"{score:.9g}"
        writer.writerow([*(_text((row or {}).get(column)) for column in columns), number])

    return write_row


def _text(value: Any) -> Any:
    """Returns a value for csv and tsv; a list is joined so that ingestion can read it."""
    plain = _plain(value)
    return DEFAULT_LIST_SEPARATOR.join(map(str, plain)) if isinstance(plain, list) else plain


def _finite(value: Any) -> Any:
    """Returns a value for JSON, which has no NaN and no infinity: a Parquet file's are written as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):  # a Parquet map's entries are tuples
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
