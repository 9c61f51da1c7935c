"""Scores raw rows with a pushed model: the input's columns, plus `score`."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import tensorflow as tf
from pydantic.dataclasses import dataclass

from components.ingestion.spans import resolve_span
from components.model_store.versions import verify
from pipeline.batch_scoring.input_rows import InputRows, infer_format, input_rows
from pipeline.batch_scoring.output_rows import OUTPUT_FORMATS, SCORE, OutputRows
from pipeline.batch_scoring.raw_rows import ExampleMaker, model_config, read_catalog, read_table
from transform.config.config import Config
from transform.documents import CONFIG
from transform.errors import InputError
from transform.ranking import snapshot_tables
from transform.signature_names import SERVING_SIGNATURE

BATCH_SIZE = 1000
#: The reason is reported for at most this many unscored rows.
MAX_PROBLEMS = 5


@dataclass(frozen=True, config=CONFIG)
class ScoreResult:
    """How many rows were scored, by `wdr score --json`.

    Attributes:
      output: The file that was written.
      num_scored: Number of rows with a score.
      num_unscored: Number of rows without one.
      problems: One sentence for each of the first rows without a score.
      notes: What else a user should know of the input, one sentence each.
      schema_version: The version of this dataclass's schema.
    """

    output: str
    num_scored: int
    num_unscored: int
    problems: Sequence[str]
    notes: Sequence[str] = ()
    schema_version: Literal[1] = 1


def score_file(
    model_path: str,
    input_path: str,
    output_path: str,
    data_root: str | None = None,
    span: int | None = None,
    *,
    plain: bool = False,
) -> ScoreResult:
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

    Raises:
      InputError: If the input cannot be read or lacks a column, a file name has another ending, or the model's files
        differ from those that were pushed.
    """
    output_format = _output_format(input_path, output_path)
    config = model_config(model_path)
    verify(model_path)
    rows = input_rows(config, input_path, plain=plain)
    if SCORE in rows.columns:
        raise InputError(f"the input has a column `{SCORE}` already ({input_path})")
    maker = example_maker(config, rows, model_path, data_root, span)
    signature = tf.saved_model.load(model_path).signatures[SERVING_SIGNATURE]
    with _whole_or_not_at_all(output_path) as file:
        output = OutputRows(file, output_format, rows, config)
        return _write_scores(output_path, rows, maker, signature, output)


def _output_format(input_path: str, output_path: str) -> str:
    """Returns the output's format; raises InputError if no output can be written there."""
    output_format = infer_format(output_path)
    if output_format not in OUTPUT_FORMATS or output_path.endswith(".gz"):
        raise InputError(f"the output's name must end in one of {[f'.{f}' for f in OUTPUT_FORMATS]}: {output_path}")
    if all(map(os.path.exists, (input_path, output_path))) and os.path.samefile(input_path, output_path):
        raise InputError(f"the output must be another file than the input, which it would replace: {output_path}")
    return output_format


def _write_scores(path: str, rows: InputRows, maker: ExampleMaker, signature: Any, output: OutputRows) -> ScoreResult:
    problems: list[str] = []
    num_scored = num_unscored = num_unreadable = 0
    examples = maker.read(rows)
    while batch := list(itertools.islice(examples, BATCH_SIZE)):
        scores = _score(signature, [example for _, example in batch if isinstance(example, bytes)])
        for row, example in batch:
            if isinstance(example, bytes):
                num_scored += 1
                output.write(row, next(scores))
                continue
            num_unscored += 1
            num_unreadable += row.values is None
            output.write(row, None)
            if len(problems) < MAX_PROBLEMS:
                problems.append(f"{rows.place_of(row)}: {example.detail}")
    notes = [rows.absent_words(maker.absent), output.others_words, rows.text_words if num_unreadable else ""]
    return ScoreResult(path, num_scored, num_unscored, tuple(problems), tuple(filter(None, notes)))


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
    tables = read_tables(config, model_path, data_root, span)
    try:
        return ExampleMaker(config, tables, rows.readable, may_lack=rows.may_lack)
    except InputError as error:
        if rows.text_words:
            raise InputError(f"{error}; {rows.text_words} ({rows.path})") from error
        raise


def read_tables(
    config: Config, model_path: str, data_root: str | None, span: int | None
) -> dict[str, dict[str, bytes]]:
    """The rows by key of the tables that raw rows are joined with: of the model's own catalog, or of a data folder."""
    if data_root is None:
        return {name: read_catalog(model_path, name) for name in snapshot_tables(config)}
    files = resolve_span(config, data_root, span).files
    return {name: read_table(config, name, files[name][""]) for name in config.sources.tables}


def _score(signature: Any, examples: list[bytes]) -> Iterator[np.float32]:
    if examples:
        (scores,) = signature(tf.constant(examples)).values()
        yield from scores.numpy()
