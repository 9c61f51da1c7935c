"""Collects the evidence about a span while ingestion reads its files: sketches that can be merged across files."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.columns.parser import to_lists
from components.ingestion.counts import CountKey
from components.ingestion.evidence import (
    Evidence,
    File,
    InstallEvidence,
    LabelCount,
    Log,
    ServedEvidence,
    SketchValue,
    TableEvidence,
)
from components.ingestion.layout import Layout
from components.ingestion.spans import has_dates
from transform.config.component_settings import IngestionSettings
from transform.feature import IMPRESSIONS

#: The number of rows of a log, and of keys of a table, that a sketch keeps.
NUM_ROWS, NUM_KEYS = 2000, 400

#: The entries of sketches that are added to the bounded ones of a span before all are bounded again.
MAX_ENTRIES_ADDED = 8 * NUM_ROWS

#: The number of hashes, the smallest ones, that a sketch keeps of a list's strings.
_NUM_LIST_HASHES = 16

_SECONDS_PER_HOUR, _SECONDS_PER_DAY = 3600, 86_400

#: The quantiles of the timestamps that are kept.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

#: The kinds of columns that say nothing of what a row is about.
_NOT_OF_THE_CONTENT = ("timestamp", "label", "weight", "randomized", "propensity")


class FilePart(NamedTuple):
    """The evidence of one file; `sketch` maps a hash to the row's timestamp or, for a table, to the key's values."""

    file: File
    rows_by_hour: dict[int, int]
    sketch: dict[int, Any]


class FileSketch:
    """Collects the evidence of one file of a source."""

    def __init__(self, config: IngestionSettings, source: str):
        columns, layout = config.columns[source], Layout(config)
        self._source = source
        self._table = config.sources.tables.get(source)
        self._size = NUM_KEYS if self._table else NUM_ROWS
        log, installs = config.sources.impressions, config.sources.installs
        # The log's time may be a feature, or features are derived from it or another time: what is shipped again has it
        # shifted, and of the day only `of_day` in `add` is the same.
        renewed = {log.impression_id, log.request_id, log.timestamp} if source == IMPRESSIONS else set()
        name = log.timestamp if source == IMPRESSIONS else installs.timestamp if installs and not self._table else None
        self._time = None if name is None else layout.timestamp_of(source, name)
        if self._table:
            (self._key,) = layout.key_positions(source, [self._table.key])
            self._hashed = layout.feature_positions(source)
        else:
            self._hashed = tuple(
                i
                for i, c in enumerate(columns)
                if c.kind not in _NOT_OF_THE_CONTENT and c.form is None and c.name not in renewed
            )
        self._num_rows = 0
        self._hours: collections.Counter[int] = collections.Counter()
        self._sketch: dict[int, Any] = {}
        self._limit = 1 << 64

    def add(self, values: Sequence[pa.Array]) -> None:
        """Adds rows: the columns of the source, as `TypedBlock` has them."""
        if not len(values[0]):
            return
        self._num_rows += len(values[0])
        hashed = to_lists([values[at] for at in self._hashed])
        if self._table:
            (keys,) = to_lists([values[self._key]])
            self._add(key_hashes(keys), lambda at: tuple(sketch_value(column[at]) for column in hashed))
            return
        # One row at a time: Python's garbage collector would look through all objects again and again if there were
        # thousands of lists.
        rows = map(list, zip(*hashed, strict=True)) if hashed else itertools.repeat([], len(values[0]))
        if self._time is None:
            self._add(key_hashes(map(repr, rows)), lambda at: None)
            return
        times = np.asarray(values[self._time])
        hours, numbers = np.unique(np.floor_divide(times, _SECONDS_PER_HOUR).astype(np.int64), return_counts=True)
        self._hours.update(dict(zip(hours.tolist(), numbers.tolist(), strict=True)))
        of_day = np.mod(times, _SECONDS_PER_DAY).tolist()
        self._add(key_hashes(map(repr, zip(of_day, rows, strict=True))), lambda at: float(times[at]))

    def _add(self, keys: npt.NDArray[Any], kept_of: Callable[[int], Any]) -> None:
        """Adds rows by their hashes; `kept_of` returns what is kept of a row, by its position."""
        for at in np.flatnonzero(keys < self._limit).tolist():
            key = int(keys[at])
            if key < self._limit and key not in self._sketch:
                self._sketch[key] = kept_of(at)
                if len(self._sketch) >= 4 * self._size:
                    self._cut()

    def _cut(self) -> None:
        self._sketch = _smallest(self._sketch, self._size)
        if len(self._sketch) == self._size:
            self._limit = max(self._sketch)

    def summary(self, path: str, sha256: str) -> FilePart:
        """Returns the evidence of all rows added."""
        self._cut()
        return FilePart(File(self._source, path, sha256, self._num_rows), dict(self._hours), self._sketch)


def compute_hash(text: str) -> int:
    """Returns a hash of a string that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")


def key_hashes(texts: Iterable[str]) -> npt.NDArray[Any]:
    """Returns the hashes by which rows and keys are sampled: 53 bits, which every JSON parser represents exactly."""
    drawn = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest() for text in texts]
    digits = np.frombuffer(b"".join(drawn), np.uint8).reshape(-1, 7).astype(np.int64)
    hashes: npt.NDArray[Any] = (digits << np.arange(48, -1, -8)).sum(axis=1) >> 3
    return hashes


def sketch_value(value: Any) -> SketchValue:
    """Returns the sketch's form of a table's value, which the row parser returned."""
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, tuple):
        return tuple(sorted(compute_hash(text) for text in value)[:_NUM_LIST_HASHES])
    return compute_hash(value)


def _smallest(sketch: Mapping[int, Any], number: int) -> dict[int, Any]:
    return {key: sketch[key] for key in heapq.nsmallest(number, sketch)}


def bounded(parts: Iterable[FilePart], config: IngestionSettings) -> list[FilePart]:
    """Leaves out of the sketches what `combine_evidence` leaves out when it has combined them.

    So the entries of all files of a source are as many as those of one large file. `NUM_ROWS` bounds those of one file,
    and a log may come in thousands of small files. An entry that several files have stays in the last one of a log, in
    the order of the paths, and in the first one of a table.
    """
    by_source: dict[str, list[FilePart]] = {}
    for part in sorted(parts, key=lambda part: part.file.path):
        by_source.setdefault(part.file.source, []).append(part)
    found = []
    for source, of_source in by_source.items():
        is_table = source in config.sources.tables
        place_of: dict[int, int] = {}
        for place in range(len(of_source)) if is_table else reversed(range(len(of_source))):
            for key in of_source[place].sketch:
                place_of.setdefault(key, place)
        kept: list[dict[int, Any]] = [{} for _ in of_source]
        for key in heapq.nsmallest(NUM_KEYS if is_table else NUM_ROWS, place_of):
            kept[place_of[key]][key] = of_source[place_of[key]].sketch[key]
        found += [part._replace(sketch=sketch) for part, sketch in zip(of_source, kept, strict=True)]
    return found


def combine_evidence(
    parts: Iterable[FilePart], counted: Iterable[tuple[CountKey, int]], config: IngestionSettings, span: int
) -> Evidence:
    """Combines the evidence of all files with the counts after the joins.

    Args:
      parts: The evidence of each file.
      counted: The sums by key, as for `counts_from_pairs`.
      config: The config.
      span: The span's number.
    """
    ordered = sorted(parts, key=lambda part: (part.file.source, part.file.path))
    by_source: dict[str, list[FilePart]] = {}
    for part in ordered:
        by_source.setdefault(part.file.source, []).append(part)
    labels, num_left_out = LabelCount(), 0
    by_hour: dict[int, LabelCount] = {}
    installs: collections.Counter[str] = collections.Counter()
    unmatched: collections.Counter[str] = collections.Counter()
    rejected: collections.Counter[str] = collections.Counter()
    served = ServedEvidence()
    for key, number in counted:
        match key:
            case ("event", outcome):
                served.events[outcome] = number
            case ("read", source) if source == IMPRESSIONS:
                served = dataclasses.replace(served, shown=number)
            case ("moved",):
                served = dataclasses.replace(served, moved=number)
            case ("label", _, label, hour):
                labels = _more(labels, label, number)
                if hour:
                    by_hour[int(hour)] = _more(by_hour.get(int(hour), LabelCount()), label, number)
            case ("unknown_label",):
                num_left_out = number
            case ("install", kind):
                installs[kind] += number
            case ("unmatched", name):
                unmatched[name] += number
            case ("unmatched_rejected", name):
                rejected[name] += number
    return Evidence(
        span=span,
        files=tuple(part.file for part in ordered),
        logs={
            name: _log(source_parts) for name, source_parts in by_source.items() if name not in config.sources.tables
        },
        tables=_tables(config, by_source, labels.negatives + labels.positives + num_left_out, unmatched, rejected),
        installs=InstallEvidence(**installs) if config.sources.installs is not None else None,
        served=served if config.sources.are_served else None,
        labels=labels,
        labels_by_hour=dict(sorted(by_hour.items())),
        is_date=has_dates(config),
    )


def _more(count: LabelCount, label: str, number: int) -> LabelCount:
    return LabelCount(
        count.negatives + (number if label == "0" else 0), count.positives + (number if label == "1" else 0)
    )


def _log(parts: Sequence[FilePart]) -> Log:
    hours: collections.Counter[int] = collections.Counter()
    sketch: dict[int, Any] = {}
    for part in parts:
        hours.update(part.rows_by_hour)
        sketch.update(part.sketch)
    sketch = _smallest(sketch, NUM_ROWS)
    times = sorted(time for time in sketch.values() if time is not None)
    quantiles = tuple(times[round(q * (len(times) - 1))] for q in QUANTILES) if times else ()
    return Log(tuple(sorted(sketch)), quantiles, dict(sorted(hours.items())))


def _tables(
    config: IngestionSettings,
    parts: Mapping[str, Sequence[FilePart]],
    num_joined: int,
    unmatched: Mapping[str, int],
    rejected: Mapping[str, int],
) -> dict[str, TableEvidence]:
    """Returns each table's evidence.

    The impressions are joined with one table after the other; an impression that one join rejects does not reach the
    next one.
    """
    tables = {}
    for name in reversed(config.sources.tables):
        if config.sources.are_served:  # no table is joined; some are read for the model's catalog
            num_joined = 0
            if name not in parts:
                continue
        num_joined += rejected[name]
        without = unmatched[name] + rejected[name]
        keys: dict[int, Any] = {}
        for part in parts.get(name, ()):
            keys = {**part.sketch, **keys}
        columns = tuple(feature.name for feature in config.features_of(name))
        tables[name] = TableEvidence(num_joined - without, without, columns, _smallest(keys, NUM_KEYS))
    return tables
