"""Counts the tokens of vocabularies in columns, and orders a vocabulary as tf.Transform 1.21.0 does."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SCHEMA = pa.schema([("token", pa.large_binary()), ("count", pa.int64())])

#: Pending rows are merged when there are this many of them, or twice as many as after the last merge.
_MERGE_ROWS = 1 << 20

#: What tf.Transform 1.21.0 writes for a vocabulary without a token: `analyzers.get_empy_vocabulary_dummy_value`.
EMPTY_VOCABULARY = b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"


class TokenCounter:
    """Adds up the counts of tokens, batch by batch; it holds one row for each distinct token, and a batch's more."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._rows = 0
        self._limit = _MERGE_ROWS

    def add(self, joined: bytes, lengths: np.ndarray, counts: np.ndarray) -> None:
        """Adds a batch.

        Args:
          joined: Its distinct tokens, one behind the other.
          lengths: The number of bytes of each, int32 `[n]`.
          counts: How often each occurs, int64 `[n]`.
        """
        number = len(lengths)
        if number:
            offsets = np.zeros(number + 1, np.int64)
            np.cumsum(lengths, out=offsets[1:])
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(joined)]
            tokens = pa.Array.from_buffers(pa.large_binary(), number, buffers)
            self._parts.append(pa.table([tokens, pa.array(counts, pa.int64())], schema=_SCHEMA))
            self._rows += number
            if self._rows >= self._limit:
                self._parts = [merged(self._parts)]
                self._rows = self._parts[0].num_rows
                self._limit = max(_MERGE_ROWS, 2 * self._rows)

    def table(self) -> pa.Table:
        """Returns each token once, with its count, in the order in which the tokens came."""
        return merged(self._parts)


def merged(tables: Iterable[pa.Table]) -> pa.Table:
    """Returns each token of the tables once, with the sum of its counts, in the order in which they come."""
    whole = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    summed = whole.group_by("token", use_threads=False).aggregate([("count", "sum")])
    return pa.table([summed["token"], summed["count_sum"]], schema=_SCHEMA)


def serialized(table: pa.Table) -> bytes:
    """Returns a table of counts in Arrow's IPC format."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_table(table)
    return sink.getvalue()


def deserialized(content: bytes) -> pa.Table:
    """Reads what `serialized` wrote."""
    return pa.ipc.open_file(pa.BufferReader(content)).read_all().cast(_SCHEMA)


@dataclasses.dataclass(frozen=True)
class Pruning:
    """Which tokens a vocabulary keeps.

    Attributes:
      min_count: A token must occur at least this often.
      max_size: The maximum number of tokens, those with the highest counts, and of equal counts those with the greatest
        bytes; None keeps all.
    """

    min_count: float
    max_size: int | None

    def kept(self, counted: pa.Table) -> list[bytes]:
        """Returns the tokens with the highest counts first, and of equal counts those with the greatest bytes first."""
        kept = counted.filter(pc.greater_equal(counted["count"], self.min_count))
        order = pc.sort_indices(kept, sort_keys=[("count", "descending"), ("token", "descending")])
        tokens: list[bytes] = kept["token"].take(order[: self.max_size]).to_pylist()
        # A vocabulary with a maximum size gets its stand-in before the reserved tokens are added, others afterwards.
        return [EMPTY_VOCABULARY] if self.max_size is not None and not tokens else tokens


def ordered(kept: Sequence[bytes], reserved: Sequence[bytes]) -> list[bytes]:
    """Returns a vocabulary: the reserved tokens in their order, then the others; never empty."""
    taken = frozenset(reserved)
    return [*reserved, *(token for token in kept if token not in taken)] or [EMPTY_VOCABULARY]
