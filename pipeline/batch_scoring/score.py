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

from components.ingestion.files import open_file
from components.ingestion.nested import flat, has_column, is_path
from components.ingestion.readers import (
    Progress,
    read_header,
    read_members,
    read_objects,
    read_rows,
    told_as_user_error,
    unit_of,
)
from components.ingestion.rows import RawRow, RowError
from components.ingestion.spans import resolve_span
from components.model_store.versions import verify
from pipeline.batch_scoring.raw_rows import ExampleMaker, model_config, read_catalog, read_table
from transform.config.config import Config, column_of
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError
from transform.feature_spec import IMPRESSIONS
from transform.ranking import snapshot_tables
from transform.signature_names import SERVING_SIGNATURE

SCORE = "score"
BATCH_SIZE = 1000
#: The reason is reported for at most this many unscored rows.
MAX_PROBLEMS = 5
INPUT_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
OUTPUT_FORMATS = ("csv", "tsv", "jsonl")


@dataclasses.dataclass(frozen=True)
class ScoreReport:
    """Numbers of scored and unscored rows, and one sentence for each of the first unscored rows."""

    num_scored: int
    num_unscored: int
    problems: tuple[str, ...]


def score_file(
    model_path: str, input_path: str, output_path: str, data_root: str | None = None, span: int | None = None
) -> ScoreReport:
    """Scores a file of raw rows.

    A row that cannot be scored (for example, text in a numeric column) keeps its place and gets an empty score.

    Args:
      model_path: A pushed version.
      input_path: csv, tsv, jsonl (each also with `.gz`) or parquet, by the name's ending.
      output_path: csv, tsv or jsonl, by the name's ending.
      data_root: The folder from which the config's tables are read; None uses the catalog stored with the model.
      span: The span of those tables; None takes the latest.

    Returns:
      The numbers of rows, and the first problems.

    Raises:
      InputError: If the input cannot be read or lacks a column, a file name has another ending, or the model's files
        differ from those that were pushed.
    """
    input_format, output_format = format_of(input_path), format_of(output_path)
    if output_format not in OUTPUT_FORMATS or output_path.endswith(".gz"):
        raise InputError(f"the output's name must end in one of {[f'.{f}' for f in OUTPUT_FORMATS]}: {output_path}")
    config = model_config(model_path)
    verify(model_path)
    columns = columns_of(input_path, input_format)
    if SCORE in columns:
        raise InputError(f"the input has a column `{SCORE}` already ({input_path})")
    read = [*columns, *members_of(config, input_path, input_format, columns)]
    maker = ExampleMaker(config, tables_of(config, model_path, data_root, span), read)
    signature = tf.saved_model.load(model_path).signatures[SERVING_SIGNATURE]
    # A jsonl file's own columns are written as they stand in the file, and features are read by their paths, too.
    is_json = input_format == "jsonl"
    limits = config.ingestion
    rows = read_objects(input_path, limits) if is_json else read_rows(input_path, input_format, read, limits)
    problems: list[str] = []
    num_scored = num_unscored = 0
    with _whole_or_not_at_all(output_path) as file:
        write = _writer(file, output_format, columns)
        for batch in _batches(rows):
            examples: list[bytes | None] = []
            for row in batch:
                try:
                    if row.values is None:
                        raise RowError(row.reason, row.detail)
                    examples.append(maker.example(flat(row.values, read) if is_json else row.values))
                except RowError as error:
                    examples.append(None)
                    if len(problems) < MAX_PROBLEMS:
                        problems.append(f"{unit_of(input_format)} {row.number}: {error.detail}")
            scores = _score(signature, [e for e in examples if e is not None])
            for row, example in zip(batch, examples, strict=True):
                try:
                    write(row.values, None if example is None else next(scores))
                except csv.Error as error:  # only when writing tsv
                    raise InputError(
                        f"a tsv file cannot hold a tab or a line end in a value; write csv or jsonl. "
                        f"Received: {unit_of(input_format)} {row.number} ({input_path})"
                    ) from error
            num_unscored += examples.count(None)
            num_scored += len(examples) - examples.count(None)
    return ScoreReport(num_scored, num_unscored, tuple(problems))


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


def columns_of(path: str, input_format: str) -> list[str]:
    """The columns of a file of raw rows."""
    return read_header(path, input_format) or list(_first_object(path))


def members_of(config: Config, path: str, input_format: str, columns: Sequence[str]) -> list[str]:
    """The columns of a config that are members of nested objects in a file of raw rows.

    Args:
      config: The config.
      path: The file.
      input_format: Its format.
      columns: The file's own columns.

    Returns:
      Their names. Those of a jsonl file are the members of its first row. A null in place of an object counts as an
      object with all members of the log, but with none of a table's, which is looked up where a member is missing.
    """
    of_log = {table.log_column for table in config.sources.tables.values()}
    of_log.update(name for feature in config.features_of(IMPRESSIONS) for name in column_of(feature).names)
    of_tables = {name for feature in config.spec.features for name in column_of(feature).names} - of_log
    names = [name for name in sorted(of_log | of_tables) if is_path(name) and name not in columns]
    if input_format == "parquet" and names:
        return read_members(path, names)
    if input_format == "jsonl" and names:
        first = _first_object(path)
        return [name for name in names if has_column(first, name, null_has_any=name in of_log)]
    return []


def format_of(path: str) -> str:
    """The format of a file of raw rows, by its name's ending; raises InputError for another ending."""
    for ending, name in INPUT_FORMATS.items():
        if path.removesuffix(".gz").endswith(ending):
            return name
    raise InputError(f"the file's name must end in one of {sorted(INPUT_FORMATS)}. Received: {path}")


def _first_object(path: str) -> dict[str, Any]:
    """Returns the first row of a jsonl file; every row of the file must have the same keys."""
    with told_as_user_error(path, Progress(unit_of("jsonl"))), open_file(path) as stream:
        line = stream.readline(1_000_000)
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"the first line must be a JSON object: {error} ({path})") from error
    if not isinstance(row, dict):
        raise InputError(f"the first line must be a JSON object. Received: {type(row).__name__} ({path})")
    return row


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


def _writer(file: Any, output_format: str, columns: list[str]) -> Any:
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
