"""Writes examples in a shuffled order, independent of labels and join keys.

Training reads the examples in the order in which they were written; its shuffle buffer holds only some of them. A
GroupByKey leaves an order behind: impressions with an install came before all others, so training on a million
impressions ended with negatives only, and the predictions were a fortieth of what they should have been. Beam's
Reshuffle does not shuffle: on one machine it passes elements on in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

#: Bytes of log files per bucket: about 20,000 rows, ten times as many if compressed. A bucket is held in memory.
_BUCKET_BYTES = 2 << 20

_HASH_BYTES = 8


class Shuffle(beam.PTransform):  # type: ignore[misc]
    """Shuffles (row number, serialized example) pairs by a hash of both.

    The row number separates equal examples of different rows. Each bucket has a pseudo-random part of all examples,
    always in the same order; the buckets are written one after the other.

    Args:
      num_buckets: The number of buckets; a bucket is held in memory.
    """

    def __init__(self, num_buckets: int):
        super().__init__()
        self._num_buckets = num_buckets

    def expand(self, examples: Any) -> Any:
        return (
            examples
            | "Bucket" >> beam.Map(_with_bucket, self._num_buckets)
            | "Group" >> beam.GroupByKey()
            | "Sort" >> beam.FlatMapTuple(_sorted).with_output_types(bytes)
        )


def buckets_for(files: Iterable[str]) -> int:
    """Returns the number of buckets for the examples of a log's files."""
    num_bytes: int = sum(tf.io.gfile.stat(file).length for file in files)
    return max(1, -(-num_bytes // _BUCKET_BYTES))


def _with_bucket(row_and_example: tuple[int, bytes], num_buckets: int) -> tuple[int, tuple[bytes, bytes]]:
    row, example = row_and_example
    drawn = hashlib.blake2b(b"%d:%b" % (row, example), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(drawn, "big") % num_buckets, (drawn, example)


def _sorted(_: int, bucket: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (example for _, example in sorted(bucket))
