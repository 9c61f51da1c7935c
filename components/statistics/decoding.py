"""Decodes serialized tf.Examples to record batches: the same as tfx-bsl's without a schema, in less time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.examples.encoding import BYTES_LIST, FLOAT_LIST, INT64_LIST
from components.statistics.entries import (
    VARINT_BITS,
    VARINT_MASK,
    WORD_BYTES,
    Entry,
    Examples,
    OtherLayoutError,
    Spans,
    find_spans,
    has_entry,
    require_layout,
)

#: By the type of an Arrow list's items, the tag of the list in an example.
_KINDS = {pa.large_binary(): BYTES_LIST, pa.float32(): FLOAT_LIST, pa.int64(): INT64_LIST}

#: The most records of the first batch that tfx-bsl decodes, so that the features are known.
_NUM_SAMPLED = 256

#: The bytes of a float32.
_FLOAT_BYTES = 4

#: The highest bit of each byte of a word; a varint sets it in all of its bytes but the last.
_CONTINUED = np.uint64(0x8080808080808080)


class Decoder:
    """Decodes batches of examples to the record batches that `ExamplesToRecordBatchDecoder` gives.

    Batches in the layout that ingestion writes are decoded column by column (`components.statistics.entries`), with the
    features of earlier batches. If an example of a batch has another layout or another feature, tfx-bsl decodes the
    batch, and its features are known from then on. Of a large first batch, tfx-bsl decodes a sample.

    Attributes:
      num_slow: The number of batches that tfx-bsl decoded, samples among them.
    """

    def __init__(self) -> None:
        self.num_slow = 0
        self._slow = ExamplesToRecordBatchDecoder()
        self._entries: dict[str, Entry] = {}

    def decode(self, records: Sequence[bytes]) -> pa.RecordBatch:
        """Decodes a batch.

        Args:
          records: Serialized tf.Examples.

        Returns:
          A column of large lists of large_binary, float32 or int64 for each feature that an example has, sorted by
          name; null where the example does not have it.

        Raises:
          RuntimeError: If a record is no tf.Example, or a feature has values of two types.
        """
        if not self._entries and len(records) > _NUM_SAMPLED:
            self._slow_batch(records[:: -(-len(records) // _NUM_SAMPLED)])
        try:
            return self._fast_batch(records)
        except OtherLayoutError:
            return self._slow_batch(records)

    def _slow_batch(self, records: Sequence[bytes]) -> pa.RecordBatch:
        self.num_slow += 1
        batch = self._slow.DecodeBatch(list(records))
        for field in batch.schema:
            if not pa.types.is_null(field.type) and has_entry(field.name):  # null: no example has a value
                self._entries[field.name] = Entry(field.name, _KINDS[field.type.value_type])
        self._entries = dict(sorted(self._entries.items()))
        return batch

    def _fast_batch(self, records: Sequence[bytes]) -> pa.RecordBatch:
        examples = Examples(records, max((entry.head_bytes for entry in self._entries.values()), default=0))
        columns = {
            name: _column(self._entries[name].kind, examples, spans)
            for name, spans in find_spans(examples, self._entries).items()
            if len(spans.begins)
        }
        require_layout(bool(columns))  # a record batch without columns has no rows
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _column(kind: bytes, examples: Examples, spans: Spans) -> pa.Array:
    """Returns the lists of a feature's values, null where a row has none."""
    splits = np.zeros(len(spans.counts) + 1, np.int64)
    np.cumsum(spans.counts, out=splits[1:])
    missing = spans.counts == 0
    return pa.LargeListArray.from_arrays(
        pa.array(splits), _VALUES_OF[kind](examples, spans), mask=pa.array(missing) if missing.any() else None
    )


def _texts(examples: Examples, spans: Spans) -> pa.Array:
    """Returns the texts as large_binary `[values]`."""
    number = len(spans.begins)
    # The begins and ends cut the data into pieces, of which every second one is a value.
    offsets = np.append(np.column_stack([spans.begins, spans.ends]).reshape(-1), spans.ends[-1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(examples.data)]
    pieces = pa.Array.from_buffers(pa.large_binary(), 2 * number, buffers)
    return pieces.take(pa.array(np.arange(0, 2 * number, 2)))


def _floats(examples: Examples, spans: Spans) -> pa.Array:
    """Returns the numbers as float32 `[values]`."""
    require_layout((spans.ends - spans.begins == _FLOAT_BYTES).all())
    return pa.array(examples.words(spans.begins).astype("<u4").view("<f4"))


def _integers(examples: Examples, spans: Spans) -> pa.Array:
    """Returns the numbers, below 2^56, as int64 `[values]`."""
    lengths = spans.ends - spans.begins
    require_layout(((lengths >= 1) & (lengths <= WORD_BYTES)).all())
    words = examples.words(spans.begins) & np.uint64(2**64 - 1) >> (8 * (WORD_BYTES - lengths)).astype(np.uint64)
    all_but_last = (np.uint64(1) << (8 * (lengths - 1)).astype(np.uint64)) - np.uint64(1)
    require_layout(np.array_equal(words & _CONTINUED, all_but_last & _CONTINUED))
    numbers = np.zeros(len(words), np.uint64)
    for place in range(int(lengths.max())):
        numbers |= (words >> np.uint64(8 * place) & np.uint64(VARINT_MASK)) << np.uint64(VARINT_BITS * place)
    return pa.array(numbers.view(np.int64))


#: By the tag of the list, a function that returns the values of a feature.
_VALUES_OF = {BYTES_LIST: _texts, FLOAT_LIST: _floats, INT64_LIST: _integers}
