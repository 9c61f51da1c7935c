"""The paper's architecture with synthetic features, and transformed examples for it in TFX's format."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from transform.combinations import Cross
from transform.config import settings
from transform.example_keys import LABEL
from transform.feature import Feature, Vocabulary
from transform.feature_spec import FeatureSpec, transformed_name

NUM_CATEGORICAL = 36
NUM_NUMERIC = 20
NUM_CROSSES = 8

MODEL = settings.Model(embedding_dim=32, hidden_units=(1024, 512, 256), dropout=0.0)
_CATEGORICAL = tuple(f"category_{i:02}" for i in range(NUM_CATEGORICAL))
_NUMERIC = tuple(f"number_{i:02}" for i in range(NUM_NUMERIC))


@dataclasses.dataclass(frozen=True)
class PaperModel:
    """36 categorical features in both parts, 20 numeric ones in the deep part, and 8 hashed crosses.

    Attributes:
      rows: Number of rows of each table, of features and of crosses.
    """

    rows: int

    @property
    def spec(self) -> FeatureSpec:
        categorical = [Feature(name=n, side="item", kind="categorical", vocabulary=Vocabulary()) for n in _CATEGORICAL]
        numeric = [Feature(name=n, side="item", kind="numeric", num_quantiles=100, parts=("deep",)) for n in _NUMERIC]
        pairs = itertools.islice(itertools.pairwise(_CATEGORICAL), NUM_CROSSES)
        crosses = tuple(Cross(features=pair, num_hash_buckets=self.rows) for pair in pairs)
        return FeatureSpec(features=(*categorical, *numeric), crosses=crosses)

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """Number of tokens per vocabulary; each table has one more row, for out-of-vocabulary tokens."""
        return dict.fromkeys(_CATEGORICAL, self.rows - 1)

    @property
    def parse_spec(self) -> dict[str, Any]:
        """The parsing spec of the transformed examples, as from `TFTransformOutput.transformed_feature_spec()`."""
        parsed: dict[str, Any] = {LABEL: tf.io.FixedLenFeature([], tf.int64)}
        for name in _CATEGORICAL:
            parsed[transformed_name(name)] = tf.io.FixedLenFeature([], tf.int64)
        for name in _NUMERIC:
            parsed[transformed_name(name)] = tf.io.FixedLenFeature([], tf.float32)
        for cross in self.spec.crosses:
            parsed[transformed_name(cross.name)] = tf.io.VarLenFeature(tf.int64)
        return parsed

    def write_examples(self, folder: Path, num_examples: int, num_files: int) -> str:
        """Writes gzipped TFRecord files with ids uniform over each table's rows; returns their glob pattern."""
        rng = np.random.default_rng(1)
        names = [*self.vocabulary_sizes, *(cross.name for cross in self.spec.crosses)]
        columns = {transformed_name(name): rng.integers(self.rows, size=num_examples) for name in names}
        numbers = {transformed_name(name): rng.random(num_examples) for name in _NUMERIC}
        columns[LABEL] = rng.integers(2, size=num_examples)
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        for file in range(num_files):
            path = folder / f"transformed_examples-{file:05}-of-{num_files:05}.gz"
            with tf.io.TFRecordWriter(str(path), options) as writer:
                for i in range(file, num_examples, num_files):
                    features = {name: _int64(int(values[i])) for name, values in columns.items()}
                    features |= {name: _float(float(values[i])) for name, values in numbers.items()}
                    example = tf.train.Example(features=tf.train.Features(feature=features))
                    writer.write(example.SerializeToString())
        return str(folder / "transformed_examples-*")


def _int64(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _float(value: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
