"""Files of records, and the records of a `tf.data` dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tensorflow as tf

from transform.errors import InputError

_BATCH_SIZE = 1024


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
