"""Reads example files as columns, and scores them with all models in large batches."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.bootstrap import Array, key_hash, unit_hash
from components.evaluation.plan import Plan
from components.evaluation.ranges.files import write_columns
from components.evaluation.scoring.columns import Columns, FeatureValues, concatenated, members_of
from components.evaluation.scoring.scores import BATCH_SIZE, Scorer
from components.examples.reading import example_batches
from transform.config.evaluation import split_slice
from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class ScoringTask:
    """A file of examples that is scored.

    Attributes:
      examples: The file.
      columns: The file of its columns without scores, which is written; its folder exists.
      scores: The file of its scores and of the values of its slices, too.
    """

    examples: str
    columns: str
    scores: str


@dataclasses.dataclass(frozen=True)
class ScoreFiles:
    """Writes the columns of files, and scores them (`components.examples.file_work.FileWork`).

    Attributes:
      parser: Parses the examples.
      saved_models: The SavedModels that score; the scores have a column for each.
    """

    parser: Parser
    saved_models: Sequence[str]

    def begin(self) -> Callable[[ScoringTask], None]:
        """Loads the models; returns the function that scores a file."""
        scorers = [Scorer(saved_model) for saved_model in self.saved_models]
        return functools.partial(self._score, scorers)

    def _score(self, scorers: Sequence[Scorer], task: ScoringTask) -> None:
        batches = example_batches([task.examples], BATCH_SIZE)
        parts = [self.parser.columns(batch, scorers) for batch in batches]
        found = concatenated(parts) if parts else self.parser.no_rows(len(scorers))
        write_columns(found, task.columns, task.scores)


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

    def no_rows(self, num_models: int) -> Columns:
        """Returns the columns of no examples, with the scores of some models."""
        none = self.columns(tf.constant([], tf.string), [])
        return dataclasses.replace(none, score=np.zeros((0, num_models), np.float32))

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
