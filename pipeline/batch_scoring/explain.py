"""Explains the scores of raw rows with a pushed model."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import tensorflow as tf

from components.ingestion.formats.raw_rows import RowError
from components.model_store.versions import verify
from pipeline.batch_scoring.input_rows import input_rows
from pipeline.batch_scoring.raw_rows import model_config
from pipeline.batch_scoring.score import example_maker
from serving.ranking_client.explanations import EXPLANATION_OUTPUTS, make_explanations
from serving.ranking_client.ranked import Explanation
from transform.errors import InputError
from transform.signature_names import EXAMPLES_INPUT, EXPLAIN_SIGNATURE, MAX_EXPLAINED

_logger = logging.getLogger(__name__)


def explain_file(
    model_path: str,
    input_path: str,
    number: int,
    data_root: str | None = None,
    span: int | None = None,
    *,
    plain: bool = False,
) -> Iterator[tuple[int, Explanation]]:
    """Explains the first rows of a file.

    Args:
      model_path: A pushed version.
      input_path: csv, tsv, jsonl (each also with `.gz`) or parquet, by the name's ending; a file of the log's format
        is read by the log's `text` settings.
      number: The number of rows.
      data_root: The folder from which the config's tables are read; None uses the catalog stored with the model.
      span: The span of those tables; None takes the latest.
      plain: Whether the input is in its format's usual form, whatever the log's `text` settings.

    Yields:
      Each row's number in the file, and its explanation.

    Raises:
      InputError: If the input cannot be read or lacks a column, a row breaks a rule, the model has no signature
        `explain`, or its files differ from those that were pushed.
    """
    config = model_config(model_path)
    verify(model_path)
    source = input_rows(config, input_path, plain=plain)
    maker = example_maker(config, source, model_path, data_root, span)
    if words := source.absent_words(maker.absent):
        _logger.warning(words)
    signatures = tf.saved_model.load(model_path).signatures
    if EXPLAIN_SIGNATURE not in signatures:
        raise InputError(
            f"the model must have the signature `{EXPLAIN_SIGNATURE}`, which one exported by an earlier release lacks. "
            f"Received: {sorted(signatures)} ({model_path})"
        )
    rows = itertools.islice(maker.read(source), number)
    while some := list(itertools.islice(rows, MAX_EXPLAINED)):
        for row, example in some:
            if isinstance(example, RowError):
                hint = f"; {source.text_words}" if row.values is None and source.text_words else ""
                raise InputError(f"{source.place_of(row)}: {example.detail}{hint} ({input_path})") from example
        examples = [example for _, example in some]
        outputs = signatures[EXPLAIN_SIGNATURE](**{EXAMPLES_INPUT: tf.constant(examples)})
        texts, numbers = (
            {name: outputs[name].numpy().ravel().tolist() for name in names} for names in EXPLANATION_OUTPUTS
        )
        yield from zip((row.number for row, _ in some), make_explanations(texts, numbers, len(some)), strict=True)
