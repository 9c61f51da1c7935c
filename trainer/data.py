"""Transformed TFRecord files as batches of features, labels and weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from transform import settings
from transform.feature_spec import LABEL, WEIGHT

#: Features by transformed name, labels float32 `[batch]`, and weights float32 `[batch]`: ones where the examples have
#: none.
Batch = tuple[Mapping[str, Any], tf.Tensor, tf.Tensor]

#: Batches for counting and evaluation: large, as nothing is kept of them but scores.
EVAL_BATCH_SIZE = 4096

_FILES_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """The number of examples by label."""

    negatives: int
    positives: int

    @property
    def total(self) -> int:
        return self.negatives + self.positives

    @property
    def log_odds(self) -> float:
        """ln(positives / negatives), each with one half more, so that it is finite."""
        return math.log((self.positives + 0.5) / (self.negatives + 0.5))

    def after_drawing(self, negative_fraction: float) -> int:
        """How many examples are expected to be left of which the negatives are drawn."""
        return self.positives + round(negative_fraction * self.negatives)


def expand_patterns(patterns: Sequence[str]) -> list[str]:
    """The files that match any of the patterns, sorted, each once; the artifact folder may be on any filesystem."""
    return sorted({path for pattern in patterns for path in tf.io.gfile.glob(pattern)})


def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """The serialized tf.Examples of TFRecord files, those whose names end in `.gz` decompressed; string scalars.

    A few files are read at once, an example of each in turn: their order follows from the files' order.
    """
    if not files:
        return tf.data.Dataset.from_tensor_slices(tf.constant([], tf.string))
    compressions = ["GZIP" if name.endswith(".gz") else "" for name in files]
    return tf.data.Dataset.from_tensor_slices((list(files), compressions)).interleave(
        lambda name, compression: tf.data.TFRecordDataset(name, compression_type=compression),
        cycle_length=min(len(files), _FILES_AT_ONCE),
    )  # not in parallel: handing examples over one by one costs more than to decompress them


def count_labels(patterns: Sequence[str], feature_spec: Mapping[str, Any]) -> LabelCounts:
    """Counts the examples in all files; arguments as in `train_dataset`."""
    batches = read_records(expand_patterns(patterns)).batch(EVAL_BATCH_SIZE)
    positives = batches.map(lambda records: _labels(records, feature_spec) > 0.5, num_parallel_calls=tf.data.AUTOTUNE)
    counts = positives.reduce(
        tf.zeros([2], tf.int64),
        lambda counts, positive: counts + tf.math.bincount(tf.cast(positive, tf.int32), minlength=2, dtype=tf.int64),
    )
    return LabelCounts(*(int(count) for count in counts.numpy()))


def train_dataset(
    patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    training: settings.Training,
    epoch: int,
    skip_batches: int = 0,
    training_inputs: Mapping[str, str] | None = None,
) -> tf.data.Dataset:
    """One epoch's shuffled batches. Their order, and the negatives drawn, follow from the epoch and the seed alone.

    Args:
      patterns: Globs of the transformed examples.
      feature_spec: How they are parsed, the label and, where there are weights, the weight included: a part of
        `TFTransformOutput.transformed_feature_spec()`.
      training: The settings.
      epoch: The epoch.
      skip_batches: Leave out so many of the epoch's first batches; they are read, but not parsed.
      training_inputs: Other features that are read in place of some, by the names of those
        (`FeatureSpec.training_inputs`).

    Returns:
      A dataset of `Batch`.
    """
    rng = np.random.default_rng([training.seed, epoch])
    files = expand_patterns(patterns)
    records = read_records([files[i] for i in rng.permutation(len(files))])
    shuffle_seed, *draw_seed = (int(word) for word in rng.integers(2**31, size=3))
    if training.negative_fraction < 1:
        records = _with_drawn_negatives(records, feature_spec, training.negative_fraction, draw_seed)
    records = records.shuffle(training.shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False)
    return _parsed(records.batch(training.batch_size).skip(skip_batches), feature_spec, training_inputs or {})


def eval_dataset(
    patterns: Sequence[str], feature_spec: Mapping[str, Any], batch_size: int = EVAL_BATCH_SIZE
) -> tf.data.Dataset:
    """Batches in the files' order; arguments and elements as in `train_dataset`."""
    return _parsed(read_records(expand_patterns(patterns)).batch(batch_size), feature_spec, {})


def _labels(records: tf.Tensor, feature_spec: Mapping[str, Any]) -> tf.Tensor:
    """The labels alone, float32 `[batch]`, of serialized examples: far quicker than parsing all of them."""
    return _column(tf.io.parse_example(records, {LABEL: feature_spec[LABEL]})[LABEL])


def _column(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(values, [-1]), tf.float32)


def _with_drawn_negatives(
    records: tf.data.Dataset, feature_spec: Mapping[str, Any], negative_fraction: float, seed: Sequence[int]
) -> tf.data.Dataset:
    def draw(number: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        batch_seed = tf.random.fold_in(tf.constant(seed, tf.int64), number)
        drawn = tf.random.stateless_uniform(tf.shape(batch), batch_seed) < negative_fraction
        return tf.boolean_mask(batch, drawn | (_labels(batch, feature_spec) > 0.5))

    batches = records.batch(EVAL_BATCH_SIZE).enumerate()
    return batches.map(draw, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _parsed(batches: tf.data.Dataset, feature_spec: Mapping[str, Any], inputs: Mapping[str, str]) -> tf.data.Dataset:
    read = {inputs.get(name, name): how for name, how in feature_spec.items()}

    def parse(records: tf.Tensor) -> Batch:
        parsed = tf.io.parse_example(records, read)  # one call per batch
        features = {name: parsed[inputs.get(name, name)] for name in feature_spec}
        labels = _column(features.pop(LABEL))
        weights = _column(features.pop(WEIGHT)) if WEIGHT in features else tf.ones_like(labels)
        return features, labels, weights

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
