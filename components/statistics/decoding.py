"""Decodes serialized tf.Examples to record batches: the same as tfx-bsl's without a schema, in half the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.packed_texts import unpacked

Ints = npt.NDArray[np.int64]

#: By the type of an Arrow list's items, TensorFlow's dtype.
_DTYPES = {pa.large_binary(): tf.string, pa.float32(): tf.float32, pa.int64(): tf.int64}

#: The most records of the first batch that tfx-bsl decodes, so that the parser can be given their features.
_NUM_SAMPLED = 256

#: The bytes of a float32 in a list.
_FLOAT_BYTES = 4


class Decoder:
    """Decodes batches of examples to the record batches that `ExamplesToRecordBatchDecoder` gives.

    TensorFlow's parser is quicker than tfx-bsl's, but it has to be given the features' names and types, and it skips
    other features, and lists without a value, without an error. So `Decoder` gives it the features of earlier batches,
    and compares the length of each record with the length of a record of the parsed values. If one differs, tfx-bsl
    decodes the batch, and the features that it finds are given to the parser from then on. Of a large first
    batch, tfx-bsl decodes a sample, so that the parser can be given the features. Every batch of a writer that
    serializes examples otherwise than ingestion does is decoded by tfx-bsl.
    """

    def __init__(self) -> None:
        self._slow = ExamplesToRecordBatchDecoder()
        self._dtypes: dict[str, tf.DType] = {}
        self._parse: Callable[[tf.Tensor], Any] | None = None

    def decode(self, records: tf.Tensor) -> pa.RecordBatch:
        """Decodes a batch.

        Args:
          records: Serialized tf.Examples, string `[n]`.

        Returns:
          A column of large lists of large_binary, float32 or int64 for each feature that an example has, sorted by
          name; null where the example does not have it.

        Raises:
          RuntimeError: If a record is no tf.Example, or a feature has values of two types.
        """
        if self._parse is None and len(records) > _NUM_SAMPLED:
            self._slow_batch(records[:: -(-len(records) // _NUM_SAMPLED)])
        return self._fast_batch(records) or self._slow_batch(records)

    def _slow_batch(self, records: tf.Tensor) -> pa.RecordBatch:
        batch = self._slow.DecodeBatch(records.numpy().tolist())
        found = {
            field.name: _DTYPES[field.type.value_type]
            for field in batch.schema
            if not pa.types.is_null(field.type)  # no example has a value
        }
        if not found.keys() <= self._dtypes.keys():
            self._dtypes |= found
            self._parse = _parse_function(self._dtypes)
        return batch

    def _fast_batch(self, records: tf.Tensor) -> pa.RecordBatch | None:
        if self._parse is None:
            return None
        try:
            lengths, parsed = self._parse(records)
        except tf.errors.InvalidArgumentError:  # a feature has values of another type; tfx-bsl says which
            return None
        columns = {name: _Column(name, *(part.numpy() for part in parsed[name])) for name in sorted(parsed)}
        sizes = sum((column.entry_sizes() for column in columns.values()), np.zeros(len(lengths), np.int64))
        if not np.array_equal(lengths.numpy(), _field(sizes)):
            return None
        filled = {name: column.array() for name, column in columns.items() if column.has_values}
        return pa.RecordBatch.from_arrays(list(filled.values()), list(filled)) if filled else None


def _parse_function(dtypes: Mapping[str, tf.DType]) -> Callable[[tf.Tensor], Any]:
    """Returns a function of records: their lengths; by feature, its row splits and values.

    The values of a feature of texts are two tensors: all texts, one behind the other, and their lengths.
    """
    spec = {name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for name, dtype in dtypes.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
    def parse(records: tf.Tensor) -> Any:
        parsed = tf.io.parse_example(records, spec)
        return tf.strings.length(records), {
            name: (ragged.row_splits, *_tensors_of(ragged.values)) for name, ragged in parsed.items()
        }

    return parse  # type: ignore[no-any-return]


def _tensors_of(values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return (tf.strings.reduce_join(values), tf.strings.length(values)) if values.dtype == tf.string else (values,)


class _Column:
    """A feature of a batch.

    Args:
      name: The feature.
      splits: Where the values of each row begin, and the number of all: int64 `[rows + 1]`.
      values: float32 or int64 `[values]`; of texts, all of them in one.
      text_lengths: The texts' lengths in bytes, int32 `[values]`; None of numbers.
    """

    def __init__(self, name: str, splits: Ints, values: Any, text_lengths: npt.NDArray[np.int32] | None = None):
        self._name, self._splits, self._values, self._text_lengths = name, splits, values, text_lengths
        self._counts = np.diff(splits)
        self.has_values = bool(splits[-1])

    def entry_sizes(self) -> Ints:
        """Returns the bytes that each row's entry takes in the example as ingestion serializes it; 0 if it has none."""
        if self._text_lengths is not None:
            in_list = self._sums(_field(self._text_lengths.astype(np.int64)))
        elif self._values.dtype == np.float32:
            in_list = _field(_FLOAT_BYTES * self._counts)
        else:
            in_list = _field(self._sums(_varint_sizes(self._values)))
        key = len(self._name.encode())
        entry = _field(np.int64(key)) + _field(_field(in_list))
        return np.where(self._counts > 0, _field(entry), 0)

    def _sums(self, of_values: Ints) -> Ints:
        """Returns each row's sum."""
        if len(of_values) == len(self._counts) and self._counts.min(initial=1) == 1:
            return of_values
        sums = np.concatenate([[0], np.cumsum(of_values)])
        of_rows: Ints = sums[self._splits[1:]] - sums[self._splits[:-1]]
        return of_rows

    def array(self) -> pa.Array:
        """Returns the lists, null where the row has no value."""
        values = pa.array(self._values) if self._text_lengths is None else unpacked(self._values, self._text_lengths)
        missing = self._counts == 0
        mask = pa.array(missing) if missing.any() else None
        return pa.LargeListArray.from_arrays(pa.array(self._splits), values, mask=mask)


def _field(lengths: Any) -> Any:
    """Returns the bytes of fields whose contents have these lengths: a tag, the length and the content."""
    return 1 + _varint_sizes(lengths) + lengths


def _varint_sizes(numbers: Any) -> Any:
    """Returns the bytes of numbers, int64 of any shape, as varints of Protocol Buffers."""
    unsigned = np.asarray(numbers).view(np.uint64)
    sizes = np.ones(unsigned.shape, np.int64)
    largest = int(unsigned.max(initial=0))
    for bits in range(7, largest.bit_length(), 7):  # a byte has seven
        sizes += unsigned >= np.uint64(1 << bits)
    return sizes
