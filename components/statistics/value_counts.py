"""Counts the values of a feature: exactly as long as there are not too many of them, and by sketches beyond."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# tfx-bsl 1.21.0 has no public name for it.
from tfx_bsl import sketches

#: The distinct values of a feature that are counted exactly.
MAX_VALUES = 1 << 20

#: The bytes of the distinct values of a feature that are counted exactly: a million values of 48 bytes.
_MAX_BYTES = 1 << 26

#: The smallest hashes that estimate the number of distinct values, as many as TFDV 1.21.0 takes: the standard error is
#: 0.8 %.
_NUM_HASHES = 16_384

_VALUE, _COUNT = "value", "count"

#: The bytes of a row besides its value's: an offset and a count, int64 each.
_BYTES_PER_ROW = 16


@dataclasses.dataclass(frozen=True)
class CountsState:
    """What was counted of a feature.

    Attributes:
      values: The distinct values that are kept, and their counts; of `SCHEMA`.
      sketch: The sketch of all distinct values; None if none was dropped.
    """

    SCHEMA: ClassVar = pa.schema([(_VALUE, pa.large_binary()), (_COUNT, pa.int64())])

    values: pa.RecordBatch
    sketch: bytes | None


class ValueCounts:
    """Counts values, batch by batch or file by file.

    With more than a maximum of distinct values, or of their bytes, it keeps half of the maximum: those with the highest
    counts so far, and of equal counts the earliest. From then on a count may lack what was counted before a value was
    dropped, and the number of distinct values is an estimate.

    Args:
      max_values: The maximum number of distinct values.
      max_bytes: The maximum of their bytes, with 16 more for each value.
    """

    def __init__(self, max_values: int = MAX_VALUES, max_bytes: int = _MAX_BYTES) -> None:
        self._max_values, self._max_bytes = max_values, max_bytes
        self._parts: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._row_limit, self._byte_limit = max_values, max_bytes
        self._sketch: sketches.KmvSketch | None = None

    def add(self, values: pa.Array) -> None:
        """Adds a batch: large_binary without nulls."""
        counted = values.value_counts()
        distinct, counts = counted.field(0), counted.field(1)
        if self._sketch is not None:
            self._sketch.AddValues(distinct)
        self._add_counted(pa.table({_VALUE: distinct, _COUNT: counts}))

    def state(self) -> CountsState:
        """Returns what was counted."""
        self._merge()
        kept = [part.combine_chunks().to_batches() for part in self._parts]
        values = kept[0][0] if kept else pa.RecordBatch.from_pylist([], CountsState.SCHEMA)
        return CountsState(values, None if self._sketch is None else self._sketch.Serialize())

    def add_state(self, state: CountsState) -> None:
        """Adds what another one counted."""
        if state.sketch is not None:
            self._sketch_of_all().Merge(sketches.KmvSketch.Deserialize(state.sketch))
        elif self._sketch is not None:
            self._sketch.AddValues(state.values[_VALUE])
        self._add_counted(pa.table(state.values))

    def _add_counted(self, table: pa.Table) -> None:
        if not len(table):
            return
        self._parts.append(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= self._row_limit or self._bytes >= self._byte_limit:
            self._merge()

    def _sketch_of_all(self) -> sketches.KmvSketch:
        """Returns the sketch of all distinct values; begins it while no value was dropped."""
        if self._sketch is None:
            self._sketch = sketches.KmvSketch(_NUM_HASHES)
            for part in self._parts:
                for chunk in part[_VALUE].chunks:
                    self._sketch.AddValues(chunk)
        return self._sketch

    def most_frequent(self, number: int) -> list[tuple[bytes, int]]:
        """Returns the values with the highest counts, and of equal counts those with the greatest bytes."""
        self._merge()
        if not self._parts:
            return []
        (table,) = self._parts
        order = [(_COUNT, "descending"), (_VALUE, "descending")]
        first = table.take(pc.select_k_unstable(table, number, sort_keys=order))
        return list(zip(first[_VALUE].to_pylist(), first[_COUNT].to_pylist(), strict=True))

    def num_distinct(self) -> int:
        """Returns the number of distinct values."""
        self._merge()
        return self._rows if self._sketch is None else int(self._sketch.Estimate())

    def is_exact(self) -> bool:
        """Whether no value was dropped."""
        self._merge()
        return self._sketch is None

    def _merge(self) -> None:
        if len(self._parts) > 1:
            whole = pa.concat_tables(self._parts).combine_chunks()
            encoded = whole[_VALUE].chunk(0).dictionary_encode()  # takes a third of the time of a group-by
            counts = np.zeros(len(encoded.dictionary), np.int64)
            np.add.at(counts, encoded.indices.to_numpy(), whole[_COUNT].to_numpy())
            self._parts = [pa.table({_VALUE: encoded.dictionary, _COUNT: counts})]
        self._measure()
        if self._rows > self._max_values or self._bytes > self._max_bytes:
            self._keep_half()
            self._measure()
        self._row_limit, self._byte_limit = self._rows + self._max_values, self._bytes + self._max_bytes

    def _measure(self) -> None:
        self._rows, self._bytes = sum(map(len, self._parts)), sum(part.nbytes for part in self._parts)

    def _keep_half(self) -> None:
        (table,) = self._parts
        self._sketch_of_all()
        order = np.argsort(-np.asarray(table[_COUNT]), kind="stable")
        sizes = np.cumsum(np.asarray(pc.binary_length(table[_VALUE]))[order] + _BYTES_PER_ROW)
        number = min(self._max_values // 2, int(np.searchsorted(sizes, self._max_bytes // 2, "right")))
        self._parts = [table.take(pa.array(order[: max(number, 1)]))]
