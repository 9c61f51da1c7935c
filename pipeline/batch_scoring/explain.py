"""Explains the scores of raw rows with a pushed model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import tensorflow as tf

from components.ingestion.readers import read_rows, unit_of
from components.ingestion.rows import RowError
from components.model_store.versions import verify
from pipeline.batch_scoring.raw_rows import ExampleMaker, model_config
from pipeline.batch_scoring.score import columns_of, format_of, members_of, tables_of
from serving.ranking_client.explanations import EXPLANATION_OUTPUTS, explanations_of
from serving.ranking_client.ranked import Explanation
from transform.errors import InputError
from transform.signature_names import EXAMPLES_INPUT, EXPLAIN_SIGNATURE, MAX_EXPLAINED


def explain_file(
    model_path: str, input_path: str, number: int, data_root: str | None = None, span: int | None = None
) -> Iterator[tuple[int, Explanation]]:
    """Explains the first rows of a file.

    Args:
      model_path: A pushed version.
      input_path: csv, tsv, jsonl (each also with `.gz`) or parquet, by the name's ending.
      number: The number of rows.
      data_root: The folder from which the config's tables are read; None uses the catalog stored with the model.
      span: The span of those tables; None takes the latest.

    Yields:
      Each row's number in the file, and its explanation.

    Raises:
      InputError: If the input cannot be read or lacks a column, a row breaks a rule, the model has no signature
        `explain`, or its files differ from those that were pushed.
    """
    input_format = format_of(input_path)
    config = model_config(model_path)
    verify(model_path)
    columns = columns_of(input_path, input_format)
    columns += members_of(config, input_path, input_format, columns)
    maker = ExampleMaker(config, tables_of(config, model_path, data_root, span), columns)
    signatures = tf.saved_model.load(model_path).signatures
    if EXPLAIN_SIGNATURE not in signatures:
        raise InputError(
            f"the model must have the signature `{EXPLAIN_SIGNATURE}`, which one exported by an earlier release lacks. "
            f"Received: {sorted(signatures)} ({model_path})"
        )
    rows = itertools.islice(read_rows(input_path, input_format, columns, config.ingestion), number)
    while some := list(itertools.islice(rows, MAX_EXPLAINED)):
        examples = []
        for row in some:
            try:
                if row.values is None:
                    raise RowError(row.reason, row.detail)
                examples.append(maker.example(row.values))
            except RowError as error:
                raise InputError(f"{unit_of(input_format)} {row.number}: {error.detail} ({input_path})") from error
        outputs = signatures[EXPLAIN_SIGNATURE](**{EXAMPLES_INPUT: tf.constant(examples)})
        texts, numbers = (
            {name: outputs[name].numpy().ravel().tolist() for name in names} for names in EXPLANATION_OUTPUTS
        )
        yield from zip((row.number for row in some), explanations_of(texts, numbers, len(some)), strict=True)
