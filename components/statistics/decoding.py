"""Decodes serialized tf.Examples to record batches: the same as tfx-bsl's without a schema, in less time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.ingestion.encoding import BYTES_LIST, FLOAT_LIST, INT64_LIST
from components.statistics.entries import EntryReader, Feature, Ints, OtherLayoutError, Records, Spans

#: By the type of an Arrow list's items, the tag of the list in an example.
_KINDS = {pa.large_binary(): BYTES_LIST, pa.float32(): FLOAT_LIST, pa.int64(): INT64_LIST}

#: The most records of the first batch that tfx-bsl decodes, so that the features are known.
_NUM_SAMPLED = 256

#: The bytes of a float32.
_FLOAT_BYTES = 4

#: The bits of a varint's byte that are the number's, and the most bytes of a varint.
_VARINT_BITS, _VARINT_BYTES = 7, 10


class Decoder:
    """Decodes batches of examples to the record batches that `ExamplesToRecordBatchDecoder` gives.

    Examples in the layout that ingestion writes are decoded column by column (`components.statistics.entries`), with
    the features of earlier batches. A batch in which an example has another layout or another feature, or a list
    without a value, is decoded by tfx-bsl, and the features that it finds are known from then on. Of a large first
    batch, tfx-bsl decodes a sample.
    """

    def __init__(self) -> None:
        self._slow = ExamplesToRecordBatchDecoder()
        self._features: dict[str, Feature] = {}

    def decode(self, examples: Sequence[bytes]) -> pa.RecordBatch:
        """Decodes a batch of serialized tf.Examples.

        Returns:
          A column of large lists of large_binary, float32 or int64 for each feature that an example has, sorted by
          name; null where the example does not have it.

        Raises:
          RuntimeError: If an example is none, or a feature has values of two types.
        """
        if not self._features and len(examples) > _NUM_SAMPLED:
            self._slow_batch(examples[:: -(-len(examples) // _NUM_SAMPLED)])
        try:
            return self._fast_batch(examples)
        except OtherLayoutError:
            return self._slow_batch(examples)

    def _slow_batch(self, examples: Sequence[bytes]) -> pa.RecordBatch:
        batch = self._slow.DecodeBatch(list(examples))
        for field in batch.schema:
            if not pa.types.is_null(field.type):  # null: no example has a value
                self._features[field.name] = Feature(field.name, _KINDS[field.type.value_type])
        self._features = dict(sorted(self._features.items()))
        return batch

    def _fast_batch(self, examples: Sequence[bytes]) -> pa.RecordBatch:
        reader = EntryReader(examples, list(self._features.values()))
        columns = {}
        for name, feature in self._features.items():
            spans = reader.spans_of(feature)
            if len(spans.begins):
                columns[name] = _column(feature.kind, reader.records, spans)
        reader.finish()
        if not columns:  # a record batch without columns has no rows
            raise OtherLayoutError
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _column(kind: bytes, records: Records, spans: Spans) -> pa.Array:
    """Returns the lists of values, null where a row has no span."""
    if kind == BYTES_LIST:
        counts, values = spans.counts, _texts(records, spans)
    else:
        of_spans, values = (_floats if kind == FLOAT_LIST else _integers)(records, spans)
        counts = spans.counts.copy()
        counts[counts > 0] = of_spans
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=splits[1:])
    missing = counts == 0
    return pa.LargeListArray.from_arrays(pa.array(splits), values, mask=pa.array(missing) if missing.any() else None)


def _texts(records: Records, spans: Spans) -> pa.Array:
    """Returns the texts as large_binary `[spans]`."""
    number = len(spans.begins)
    # Every second one of the pieces into which the spans cut the data is a span.
    offsets = np.append(np.column_stack([spans.begins, spans.ends]).reshape(-1), spans.ends[-1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(records.data)]
    pieces = pa.Array.from_buffers(pa.large_binary(), 2 * number, buffers)
    return pieces.take(pa.array(np.arange(0, 2 * number, 2)))


def _floats(records: Records, spans: Spans) -> tuple[Ints, pa.Array]:
    """Returns how many numbers each span has, and the numbers as float32."""
    counts, rest = np.divmod(spans.ends - spans.begins, _FLOAT_BYTES)
    if rest.any() or not counts.all():
        raise OtherLayoutError
    return counts, pa.array(records.floats(_places(spans.begins, counts, _FLOAT_BYTES)))


def _integers(records: Records, spans: Spans) -> tuple[Ints, pa.Array]:
    """Returns how many numbers each span has, and the numbers as int64."""
    lengths = spans.ends - spans.begins
    if not lengths.all():
        raise OtherLayoutError
    octets = records.octets(_places(spans.begins, lengths, 1))
    is_last = octets <= np.uint8(0x7F)
    span_ends = np.cumsum(lengths)
    ends = np.flatnonzero(is_last) + 1
    sizes = np.diff(ends, prepend=0)
    if not is_last[span_ends - 1].all() or sizes.max() > _VARINT_BYTES:
        raise OtherLayoutError
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(sizes.max())):
        has = sizes > place
        bits = (octets[(ends - sizes)[has] + place] & np.uint8(0x7F)).astype(np.uint64)
        values[has] |= bits << np.uint64(_VARINT_BITS * place)
    counts = np.diff(np.searchsorted(ends, span_ends, "right"), prepend=0)
    return counts, pa.array(values.view(np.int64))


def _places(begins: Ints, counts: Ints, step: int) -> Ints:
    """Returns as many places as the counts say from each begin on, `step` bytes apart."""
    if counts.max() == 1:
        return begins
    before = np.cumsum(counts) - counts
    places: Ints = np.repeat(begins - step * before, counts) + step * np.arange(int(counts.sum()))
    return places
