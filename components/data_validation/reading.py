"""Reads a span's examples into columns, and scores them with the baseline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from absl import logging
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.types import artifact_utils

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.data_validation.columns import Columns, Floats, Tokens, read_numbers, read_tokens
from components.data_validation.evidence import MAX_EXAMPLES, Rescored
from components.data_validation.served_rules.rescoring import rescore
from components.evaluation.scoring.scores import BATCH_SIZE as SCORED_AT_ONCE
from components.evaluation.scoring.scores import Scorer, ScoringError, compute_scores
from components.examples.reading import split_files
from components.model_store.versions import version_path, versions
from transform.config.component_settings import DataSettings
from transform.example_keys import LABEL, PLACEMENT, REQUEST_ID
from transform.feature import Feature
from transform.files.records import iterate_records
from transform.graph.derived_times import derived
from transform.schema import raw_schema

#: The largest number of them that the baseline scores. With 5 % of label 1, the 2,500 positives determine its
#: calibration to 3 %.
MAX_SCORED = 50_000

_BATCH_SIZE = 10_000


def read_examples(examples: types.Artifact) -> list[bytes]:
    """Reads a span's serialized tf.Examples: of each split at most MAX_EXAMPLES divided by the number of splits."""
    found: list[bytes] = []
    splits = artifact_utils.decode_split_names(examples.split_names)
    for split in sorted(splits):
        files = split_files(artifact_utils.get_split_uri([examples], split))
        found += iterate_records(tf.data.TFRecordDataset(files, "GZIP").take(MAX_EXAMPLES // len(splits)))
    return found


def to_columns(examples: list[bytes], config: DataSettings) -> Columns:
    """Converts serialized tf.Examples to columns."""
    decoder = ExamplesToRecordBatchDecoder(raw_schema(config).SerializeToString())
    batches = [decoder.DecodeBatch(batch) for batch in _batches(examples, _BATCH_SIZE)]
    table = pa.Table.from_batches(batches)
    label = read_numbers(table[LABEL]).astype(np.int64)
    request = np.arange(len(label))
    if config.sources.impressions.request_id is not None:
        request = read_tokens(table[REQUEST_ID]).of_rows()
    features: Mapping[str, Any] = {f.name: table[f.name] for f in config.spec.features}
    return Columns(
        label=label,
        request=request,
        tokens={f.name: _tokens(features[f.name], f) for f in config.spec.features if f.of_kind.holds == "text"},
        numbers={f.name: read_numbers(features[f.name]) for f in config.spec.features if f.of_kind.holds == "number"},
        placement=read_numbers(table[PLACEMENT]) if config.sources.impressions.says_placement else None,
    )


def _tokens(values: pa.ChunkedArray, feature: Feature) -> Tokens:
    """Returns a feature's tokens: of a derived one those that the model computes of its times."""
    tokens = read_tokens(values)
    if feature.derive is None or not tokens.values:
        return tokens
    parts, is_time = derived(tf.constant(tokens.values), feature.derive)
    place = np.full(len(tokens.values), -1)
    distinct, place[is_time] = np.unique(parts[is_time].numpy().astype(str), return_inverse=True)
    codes = place[tokens.codes]
    is_kept = codes >= 0
    return Tokens(distinct.tolist(), codes[is_kept], tokens.rows[is_kept], tokens.num_rows)


def score(examples: list[bytes], saved_model: str) -> Floats:
    """Returns the baseline's scores: float64 [n] with at most MAX_SCORED scores, NaN for the other examples.

    Raises:
      ScoringError: If the model cannot score them, as after a change of the features.
    """
    step = -(-len(examples) // MAX_SCORED)
    scores = np.full(len(examples), np.nan)
    scores[::step] = compute_scores(saved_model, map(tf.constant, _batches(examples[::step], SCORED_AT_ONCE)))
    return scores


def rescored(examples: list[bytes], serving_root: str, features: Collection[str]) -> Rescored:
    """Scores a sample of served rankings again, each row by the version that ranked it (`served_rules.rescoring`).

    Args:
      examples: The span's serialized tf.Examples.
      serving_root: The serving folder.
      features: The names of the features in the examples.
    """
    existing = [str(version) for version in reversed(versions(serving_root))]

    @functools.cache
    def scorer_of(version: str) -> Callable[[Sequence[bytes]], Floats] | None:
        if version not in existing:
            return None
        try:
            scorer = Scorer(version_path(serving_root, int(version)))
        except ScoringError as error:
            logging.warning("rows of version %s are not scored again: %s", version, error)
            return None
        return lambda rows: np.concatenate([scorer(tf.constant(batch)) for batch in _batches([*rows], SCORED_AT_ONCE)])

    return rescore(examples, scorer_of, existing, sorted(features))


def _batches(examples: list[bytes], size: int) -> Iterator[list[bytes]]:
    for begin in range(0, len(examples), size):
        yield examples[begin : begin + size]
