"""Reads files of examples, and runs a function on the next batch while one is used."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import tensorflow as tf

from components import storage
from transform.errors import InputError
from transform.files.records import refuse_empty_files
from transform.files.tfrecords import read_batches, read_records

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def split_files(folder: str) -> list[str]:
    """Returns the paths of the files in the folder of a split of Examples, sorted.

    The folder's name is not a pattern: a workspace may be called `[eu]`.

    Raises:
      InputError: If there is no file, or one without a byte. A split without examples has a file without examples.
    """
    files = [os.path.join(folder, name) for name in storage.names(folder)]
    if not files:
        raise InputError(f"a split of examples must have a file. Received: none in {folder}")
    refuse_empty_files(files)
    return files


def example_records(files: Iterable[str]) -> Iterator[bytes]:
    """Yields the examples of files one by one; arguments and errors are those of `example_batches`."""
    return itertools.chain.from_iterable(read_records(file, storage.open_bytes) for file in files)


def example_batches(files: Iterable[str], size: int) -> Iterator[tf.Tensor]:
    """Reads serialized tf.Examples, one file after the other.

    Args:
      files: TFRecord files, with gzip if their names end in `.gz`.
      size: The rows of a batch. A batch can hold the end of one file and the start of the next. The last batch may be
        smaller, and one that reaches 32 MB ends there.

    Yields:
      string `[rows]`.

    Raises:
      InputError: If a file is missing or damaged.
    """
    for batch in read_batches(files, size, storage.open_bytes):
        yield tf.constant(batch)


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields a function's results in order; the next one is computed in a thread while the caller uses this one.

    Reading `items` happens in that thread, too. An error is raised in the place of its result.
    """
    results = map(function, items)
    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = thread.submit(next, results, _END)
        while (result := ahead.result()) is not _END:
            ahead = thread.submit(next, results, _END)
            yield cast("Result", result)
