"""Records of tf.Examples: read from files and datasets, a table's rows, and a logged example as a request."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import tensorflow as tf

from transform.errors import InputError
from transform.example_keys import KNOWN_AFTERWARDS, TABLE_KEY

_BATCH_SIZE = 1024

#: The key of the Trainer's `custom_config` with the folder of the catalog's snapshot, one folder per table.
CATALOG_KEY = "catalog"


def refuse_empty_files(paths: Iterable[str]) -> None:
    """Raises InputError if a file of an artifact's records has no bytes, as after a power cut.

    A file without records has gzip's header and trailer, but TensorFlow, as gzip itself, reads no records from an
    empty file.
    """
    for path in paths:
        if tf.io.gfile.stat(path).length == 0:
            raise InputError(f"a file of examples or of a table's rows must have bytes. Received: none in {path}")


def iterate_records(dataset: tf.data.Dataset) -> Iterator[bytes]:
    """Yields the records of a dataset of scalar strings, in their order.

    They are fetched in batches: `dataset.as_numpy_iterator()` spends some 0.1 ms a record on the call into TensorFlow.
    """
    for batch in dataset.batch(_BATCH_SIZE):
        yield from batch.numpy().tolist()


def table_rows(folder: str) -> Iterator[tuple[bytes, tf.train.Example]]:
    """Yields each row's key and features from the TFRecord files in a table's folder; nothing if it has no file.

    Ingestion writes such a folder, and a pushed version contains it.

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


def as_request(record: bytes, removed: Iterable[str] = KNOWN_AFTERWARDS) -> bytes:
    """Returns a logged example as a request sends it: without the label and all else that is known only afterwards."""
    example = tf.train.Example.FromString(record)
    for name in removed:
        example.features.feature.pop(name, None)
    serialized: bytes = example.SerializeToString()
    return serialized


def first_value(row: bytes, feature: str | None) -> bytes:
    """Returns a categorical feature's first value in a serialized tf.Example; empty without a value or a feature."""
    values = [] if feature is None else tf.train.Example.FromString(row).features.feature[feature].bytes_list.value
    return bytes((*values, b"")[0])
