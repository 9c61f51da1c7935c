"""Transformed TFRecord files as batches of (features, labels)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from transform.feature_spec import LABEL

#: Batches for counting and evaluation: large, as nothing is kept of them but scores.
EVAL_BATCH_SIZE = 4096

_FILES_AT_ONCE = 4


def expand_patterns(patterns: Sequence[str]) -> list[str]:
    """The files that match any of the patterns, sorted, each once; the artifact folder may be on any filesystem."""
    return sorted({path for pattern in patterns for path in tf.io.gfile.glob(pattern)})


def read_records(patterns: Sequence[str], shuffle_seed: int | None = None) -> tf.data.Dataset:
    """The serialized tf.Examples of all files.

    Args:
      patterns: Globs of TFRecord files; those whose names end in `.gz` are decompressed.
      shuffle_seed: Shuffles the order of the files anew in each epoch; None keeps it.

    Returns:
      A dataset of string scalars.
    """
    files = expand_patterns(patterns)
    if not files:
        return tf.data.Dataset.from_tensor_slices(tf.constant([], tf.string))
    compressions = ["GZIP" if name.endswith(".gz") else "" for name in files]
    dataset = tf.data.Dataset.from_tensor_slices((files, compressions))
    if shuffle_seed is not None:
        dataset = dataset.shuffle(len(files), seed=shuffle_seed, reshuffle_each_iteration=True)
    return dataset.interleave(
        lambda name, compression: tf.data.TFRecordDataset(name, compression_type=compression),
        cycle_length=min(len(files), _FILES_AT_ONCE),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def count_examples(patterns: Sequence[str]) -> int:
    """The number of examples in all files."""
    batches = read_records(patterns).batch(EVAL_BATCH_SIZE)
    return int(batches.reduce(tf.constant(0, tf.int64), lambda n, batch: n + tf.size(batch, tf.int64)).numpy())


def train_dataset(
    patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
) -> tf.data.Dataset:
    """Shuffled batches, in another order each time the dataset is iterated; the same orders for the same seed.

    Args:
      patterns: Globs of the transformed examples.
      feature_spec: How they are parsed, label included: a part of `TFTransformOutput.transformed_feature_spec()`.
      batch_size: Examples per batch; the last may have fewer.
      shuffle_buffer: Serialized examples held to shuffle among.
      seed: Of the order.

    Returns:
      A dataset of (features by transformed name, labels float32 `[batch]`).
    """
    records = read_records(patterns, shuffle_seed=seed)
    records = records.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    return _parsed_batches(records, feature_spec, batch_size)


def eval_dataset(
    patterns: Sequence[str], feature_spec: Mapping[str, Any], batch_size: int = EVAL_BATCH_SIZE
) -> tf.data.Dataset:
    """Batches in the files' order; arguments and elements as in `train_dataset`."""
    return _parsed_batches(read_records(patterns), feature_spec, batch_size)


def _parsed_batches(records: tf.data.Dataset, feature_spec: Mapping[str, Any], batch_size: int) -> tf.data.Dataset:
    def parse(serialized: tf.Tensor) -> tuple[dict[str, Any], tf.Tensor]:
        features = tf.io.parse_example(serialized, dict(feature_spec))  # one call per batch
        return features, tf.cast(tf.reshape(features.pop(LABEL), [-1]), tf.float32)

    return records.batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
