"""Examples in an order that tells nothing of them.

Training takes the examples in the order in which they are written, and holds but some of them to shuffle among. A
grouping leaves an order: impressions with an install came before all others, and a model of a million of them ended
with negatives alone, its predictions a fortieth of what they should have been. Beam's Reshuffle is no shuffle: on one
machine it hands elements on as they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

#: Of the log's files, for one bucket: some 20,000 rows, which are held in memory, or ten times as many if compressed.
_BUCKET_BYTES = 2 << 20

_HASH_BYTES = 8


class Shuffle(beam.PTransform):  # type: ignore[misc]
    """Shuffles serialized examples, each with its row's number, by a hash of the two.

    So equal examples of different rows do not stand together. Each bucket has a random part of all examples, always in
    the same order; the buckets come one after the other.

    Args:
      num_buckets: How many there are; a bucket is held in memory.
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
    """How many buckets are enough for the examples of a log's files."""
    num_bytes: int = sum(tf.io.gfile.stat(file).length for file in files)
    return max(1, -(-num_bytes // _BUCKET_BYTES))


def _with_bucket(row_and_example: tuple[int, bytes], num_buckets: int) -> tuple[int, tuple[bytes, bytes]]:
    row, example = row_and_example
    drawn = hashlib.blake2b(b"%d:%b" % (row, example), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(drawn, "big") % num_buckets, (drawn, example)


def _sorted(_: int, bucket: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (example for _, example in sorted(bucket))
