"""TFMA's extractor of columns: reads example files, and scores them with all models in large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluation.metrics.bootstrap import Array, key_hash, unit_hash
from components.evaluation.plan import Plan
from components.evaluation.scoring.columns import Columns, FeatureValues, members_of
from components.evaluation.scoring.scores import BATCH_SIZE, Scorer
from components.examples.reading import example_batches, split_files
from transform.config.evaluation import split_slice
from transform.errors import InputError

#: The key of an extract's columns: the place of a batch among all of a run, and its `Columns`.
COLUMNS = "columns"

#: The name of the extractor's stage.
SCORED = "ScoreInBatches"

#: The key of a file's number among the files, whose path is the extract's input.
FILE_NUMBER = "file_number"


def files_of(folders: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the extracts that `score_extractor` reads: one for each file of the splits' folders."""
    paths = [path for folder in folders for path in split_files(folder)]
    return [{tfma.INPUT_KEY: path.encode(), FILE_NUMBER: number} for number, path in enumerate(paths)]


def score_extractor(
    plan: Plan, dtypes: Mapping[str, tf.DType], saved_models: Sequence[str]
) -> tfma.extractors.Extractor:
    """Returns the extractor.

    Args:
      plan: What is measured.
      dtypes: The dtypes of the examples' features.
      saved_models: The SavedModels that score; `Columns.score` has a column for each.
    """
    parser = Parser(plan, dtypes)
    return tfma.extractors.Extractor(stage_name=SCORED, ptransform=beam.ParDo(_ScoreFile(parser, saved_models)))


class _ScoreFile(beam.DoFn):  # type: ignore[misc]
    """Yields the columns of each batch of a file."""

    def __init__(self, parser: Parser, saved_models: Sequence[str]):
        self._parser = parser
        self._saved_models = saved_models

    def setup(self) -> None:
        self._scorers = [Scorer(saved_model) for saved_model in self._saved_models]

    def process(self, extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
        path = extracts[tfma.INPUT_KEY].decode()
        for number, batch in enumerate(example_batches([path], BATCH_SIZE)):
            yield {COLUMNS: ((extracts[FILE_NUMBER], number), self._parser.columns(batch, self._scorers))}


class Parser:
    """Parses batches of examples.

    Args:
      plan: What is measured.
      dtypes: The dtypes of the examples' features.

    Raises:
      InputError: If the examples have no feature that is needed.
    """

    def __init__(self, plan: Plan, dtypes: Mapping[str, tf.DType]):
        self._label, self._weight = plan.label, plan.weight
        self._unit_keys, self._groups = plan.unit_keys, tuple(plan.rankings)
        self._slices = {name: split_slice(name)[0] for name in plan.slices}
        needed = {
            self._label,
            *([self._weight] if self._weight else []),
            *self._unit_keys,
            *self._groups,
            *self._slices.values(),
        }
        if missing := sorted(needed - set(dtypes)):
            raise InputError(f"the schema must have every feature that is evaluated by. Received: none named {missing}")
        self._kinds = {name: tf.io.VarLenFeature(dtypes[name]) for name in sorted(needed)}

    def columns(self, examples: tf.Tensor, scorers: Sequence[Callable[[tf.Tensor], Array]]) -> Columns:
        """Returns the columns of serialized tf.Examples, string `[num_rows]`, and their scores by some models."""
        parsed = {name: FeatureValues(values) for name, values in tf.io.parse_example(examples, self._kinds).items()}
        num_rows = len(examples)
        return Columns(
            unit=self._units(parsed, examples),
            label=_number(parsed[self._label], self._label, num_rows),
            weight=_number(parsed[self._weight], self._weight, num_rows)
            if self._weight
            else np.ones(num_rows, np.float32),
            score=np.array([scorer(examples) for scorer in scorers], np.float32).reshape(len(scorers), num_rows).T,
            group={name: _group_hashes(parsed[name], name, num_rows) for name in self._groups},
            slices={name: members_of(parsed[feature], name) for name, feature in self._slices.items()},
        )

    def _units(self, parsed: Mapping[str, FeatureValues], examples: tf.Tensor) -> Array:
        """Returns the hash of each row's unit: of the first key's value that it has, else of the example itself."""
        units, has_unit = np.zeros(len(examples), np.uint64), np.zeros(len(examples), bool)
        for key in reversed(self._unit_keys):
            rows, values = parsed[key].first
            units[rows] = _hashes(key, values, unit_hash)
            has_unit[rows] = True
        if not has_unit.all():
            alone = np.flatnonzero(~has_unit)
            units[alone] = [unit_hash(example) for example in tf.gather(examples, alone).numpy()]
        return units


def make_key(feature: str, value: Any) -> bytes:
    """Returns the key of a bootstrap unit or a group, given a feature and its value, bytes or a number."""
    text = value if isinstance(value, bytes) else str(value).encode()
    return feature.encode() + b"=" + text


def _hashes(feature: str, values: Array, hash_function: Callable[[bytes], int]) -> Array:
    """Returns the hashes of a feature's values, uint64 `[num_values]`; each distinct value is hashed once."""
    of_value = {value: hash_function(make_key(feature, value)) for value in set(values)}
    return np.fromiter((of_value[value] for value in values), np.uint64, len(values))


def _group_hashes(values: FeatureValues, feature: str, num_rows: int) -> Array:
    """Returns the hash of each row's group; the rows without a value are one group, as in TFMA."""
    hashes = np.full(num_rows, key_hash(feature.encode()), np.uint64)
    rows, first = values.first
    hashes[rows] = _hashes(feature, first, key_hash)
    return hashes


def _number(values: FeatureValues, feature: str, num_rows: int) -> Array:
    """Returns a feature's values as float32 `[num_rows]`."""
    if not values.is_single or len(values.row) != num_rows:
        raise InputError(
            f"every example must have one value of {feature!r}. Received: {len(values.row):,} values of {num_rows:,} "
            "examples"
        )
    numbers: Array = values.value.astype(np.float32)
    return numbers
