"""Reads the snapshot of a table, as ingestion writes it and a pushed version carries it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf

from transform.feature_spec import TABLE_KEY


def table_rows(folder: str) -> Iterator[tuple[bytes, tf.train.Example]]:
    """The key and the features of each row, from the TFRecord files in a table's folder; none without a file."""
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "*")))
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        (key,) = example.features.feature.pop(TABLE_KEY).bytes_list.value
        yield key, example
