"""The evidence of one file, collected row by row."""

from __future__ import annotations

import collections
import hashlib
import heapq
from collections.abc import Sequence
from typing import Any

from components.ingestion.evidence import File, SketchValue
from components.ingestion.layout import Layout
from components.ingestion.sketches import NUM_KEYS, NUM_ROWS, FilePart, sketch_value
from transform.config.component_settings import IngestionSettings
from transform.feature import IMPRESSIONS

_SECONDS_PER_HOUR, _SECONDS_PER_DAY = 3600, 86_400


def key_hash(text: str) -> int:
    """Returns the hash by which rows and keys are sampled: 53 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big") >> 3


class FileSketch:
    """Collects the evidence of one file of a source, row by row."""

    def __init__(self, config: IngestionSettings, source: str):
        columns, layout = config.columns[source], Layout(config)
        self._source = source
        self._table = config.sources.tables.get(source)
        self._size = NUM_KEYS if self._table else NUM_ROWS
        log, installs = config.sources.impressions, config.sources.installs
        ids = {log.impression_id, log.request_id} if source == IMPRESSIONS else set()
        name = log.timestamp if source == IMPRESSIONS else installs.timestamp if installs and not self._table else None
        self._time = None if name is None else layout.timestamp_of(source, name)
        if self._table:
            (self._key,) = layout.key_positions(source, [self._table.key])
            self._hashed = layout.feature_positions(source)
        else:
            self._hashed = tuple(
                i
                for i, c in enumerate(columns)
                if c.kind not in ("timestamp", "label", "weight", "randomized", "propensity") and c.name not in ids
            )
        self._num_rows = 0
        self._hours: collections.Counter[int] = collections.Counter()
        self._sketch: dict[int, Any] = {}
        self._limit = 1 << 64

    def add(self, values: Sequence[Any]) -> None:
        """Adds a row, as returned by the row parser."""
        self._num_rows += 1
        key, kept = self._of_table(values) if self._table else self._of_log(values)
        if key < self._limit:
            self._sketch.setdefault(key, kept)
            if len(self._sketch) >= 4 * self._size:
                self._cut()

    def _of_table(self, values: Sequence[Any]) -> tuple[int, tuple[SketchValue, ...]]:
        return key_hash(values[self._key]), tuple(sketch_value(values[i]) for i in self._hashed)

    def _of_log(self, values: Sequence[Any]) -> tuple[int, float | None]:
        row = [values[i] for i in self._hashed]
        if self._time is None:
            return key_hash(repr(row)), None
        time: float = values[self._time]
        self._hours[int(time // _SECONDS_PER_HOUR)] += 1
        return key_hash(repr((time % _SECONDS_PER_DAY, row))), time

    def _cut(self) -> None:
        self._sketch = {key: self._sketch[key] for key in heapq.nsmallest(self._size, self._sketch)}
        if len(self._sketch) == self._size:
            self._limit = max(self._sketch)

    def summary(self, path: str, sha256: str) -> FilePart:
        """Returns the evidence of all rows added."""
        self._cut()
        return FilePart(File(self._source, path, sha256, self._num_rows), dict(self._hours), self._sketch)
