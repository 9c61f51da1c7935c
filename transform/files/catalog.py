"""Reads a table's snapshot, as ingestion writes it and a pushed version contains it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf

from transform.example_keys import TABLE_KEY
from transform.files.record_datasets import iterate_records, refuse_empty_files

#: The key of the Trainer's `custom_config` with the folder of the catalog's snapshot, one folder per table.
CATALOG_KEY = "catalog"


def table_rows(folder: str) -> Iterator[tuple[bytes, tf.train.Example]]:
    """Yields each row's key and features, from the TFRecord files in a table's folder; nothing if it has no file.

    Raises:
      InputError: If a file has no bytes.
    """
    names = sorted(tf.io.gfile.listdir(folder)) if tf.io.gfile.isdir(folder) else []
    files = [os.path.join(folder, name) for name in names]
    refuse_empty_files(files)
    for record in iterate_records(tf.data.TFRecordDataset(files, compression_type="GZIP")):
        example = tf.train.Example.FromString(record)
        (key,) = example.features.feature.pop(TABLE_KEY).bytes_list.value
        yield key, example
