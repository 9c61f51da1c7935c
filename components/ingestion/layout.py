"""Which features a tf.Example has, and an impression's split and fold."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transform.config import serving_log
from transform.config.columns import ColumnKind, column_of
from transform.config.component_settings import IngestionSettings
from transform.config.settings import Ingestion
from transform.example_keys import (
    FOLD,
    IMPRESSION_ID,
    LABEL,
    NUM_FOLDS,
    PLACEMENT,
    REQUEST_ID,
    SERVED_SCORE,
    SERVED_VERSION,
    SHARES_LABEL,
    SPAN,
    TABLE_KEY,
    TIMESTAMP,
    WEIGHT,
)
from transform.feature import IMPRESSIONS


class Entry(NamedTuple):
    """A feature of the examples.

    Attributes:
      name: Its name in the examples.
      kind: Its column's kind; `int` for what ingestion itself computes.
      source: The source that it is read from; empty for what ingestion itself computes.
      position: Its position in the source's rows.
    """

    name: str
    kind: ColumnKind | Literal["int"]
    source: str = ""
    position: int = 0


class Layout:
    """The position of each value in a row of its source, as `Parser` orders them."""

    def __init__(self, config: IngestionSettings):
        self._config = config
        self._index = {
            source: {(c.name, c.kind): i for i, c in enumerate(columns)} for source, columns in config.columns.items()
        }
        log = config.sources.impressions
        self.label = self._position(IMPRESSIONS, log.label, "label")
        self.weight = self._position(IMPRESSIONS, log.weight, "weight")
        self.randomized = self._position(IMPRESSIONS, log.randomized, "randomized")
        self.propensity = self._position(IMPRESSIONS, log.propensity, "propensity")
        self.impression_id = self._position(IMPRESSIONS, log.impression_id, "string")
        self.request_id = self._position(IMPRESSIONS, log.request_id, "string")
        self.timestamp = self._position(IMPRESSIONS, log.timestamp, "timestamp")
        #: That of the column by which rows are split; None if they are split by their files or their places in them.
        self.split = self._position(
            IMPRESSIONS, _split_column(config), "timestamp" if config.ingestion.is_split_by_time else "string"
        )
        #: The positions, in a log row, of the columns that are equal in rows that can share a label; empty if no rows
        #: can.
        self.label_columns = self._label_columns()
        read = [(f, config.source_of(f), config.column_of(f)) for f in config.spec.features]
        self._features = [(f, source, self._index[source][c.name, c.kind]) for f, source, c in read]
        tables = [(f, column_of(f)) for f in config.spec.features if f.source != IMPRESSIONS]
        self._table_features = [(f, f.source, self._index[f.source][c.name, c.kind]) for f, c in tables]

    def _position(self, source: str, column: str | None, kind: ColumnKind) -> int | None:
        return None if column is None else self._index[source][column, kind]

    def key_positions(self, source: str, columns: Sequence[str]) -> tuple[int, ...]:
        """Returns the positions of key columns in a source's rows."""
        return tuple(self._index[source][column, "string"] for column in columns)

    def feature_positions(self, source: str) -> tuple[int, ...]:
        """Returns the positions of a source's features in its rows, in the order of the config's features."""
        features = self._features if source == IMPRESSIONS else self._table_features
        return tuple(position for _, name, position in features if name == source)

    def timestamp_of(self, source: str, column: str) -> int:
        return self._index[source][column, "timestamp"]

    def _label_columns(self) -> tuple[int, ...]:
        installs, columns = self._config.sources.installs, self._config.sources.impressions.label_columns
        return self.key_positions(IMPRESSIONS, columns if installs is None else installs.keys)

    def entries(self) -> list[Entry]:
        """Returns all features of the examples, sorted by name.

        A feature with `renamed_from` has its value under both names.
        """
        result = [
            Entry(name, feature.of_kind.column, source, position)
            for feature, source, position in self._features
            for name in (feature.name, feature.renamed_from)
            if name is not None
        ]
        result += [Entry(name, "int") for name in (LABEL, SPAN, FOLD, SHARES_LABEL)]
        numbers: list[tuple[str, ColumnKind, int | None]] = [
            (WEIGHT, "weight", self.weight),
            (PLACEMENT, "randomized", self.randomized),
            (PLACEMENT, "propensity", self.propensity),
        ]
        result += [Entry(name, kind, IMPRESSIONS, at) for name, kind, at in numbers if at is not None]
        for name, at in ((IMPRESSION_ID, self.impression_id), (REQUEST_ID, self.request_id)):
            if at is not None:
                result.append(Entry(name, "string", IMPRESSIONS, at))
        if self._config.sources.are_served:
            index = self._index[IMPRESSIONS]
            result.append(Entry(SERVED_SCORE, "float", IMPRESSIONS, index[serving_log.SCORE, "float"]))
            result.append(Entry(SERVED_VERSION, "string", IMPRESSIONS, index[serving_log.VERSION, "string"]))
        if self.timestamp is not None:
            result.append(Entry(TIMESTAMP, "timestamp", IMPRESSIONS, self.timestamp))
        return sorted(result)

    def table_entries(self, table: str, key: str) -> list[Entry]:
        """Returns the features of the examples of a table's snapshot, and its key under `table_key`, sorted by name."""
        result = [
            Entry(feature.name, feature.of_kind.column, source, position)
            for feature, source, position in self._table_features
            if source == table
        ]
        (position,) = self.key_positions(table, [key])
        return sorted([*result, Entry(TABLE_KEY, "string", table, position)])


def split_rule(config: IngestionSettings, fingerprint: str) -> str:
    """Returns a string that identifies how rows are split; equal for two ingestions that split the same rows alike.

    Args:
      config: The config.
      fingerprint: That of the files. A row without an id is split by its place in them, so that in rewritten files the
        same rows can be split otherwise.
    """
    log, rule = config.sources.impressions, config.ingestion
    if log.splits is not None:
        return json.dumps(log.splits, sort_keys=True)
    if rule.split_by == "row_hash":
        return json.dumps([rule.split_by, fingerprint, rule.eval_fraction])
    length = rule.eval_seconds if rule.split_by == "time" else rule.eval_fraction
    return json.dumps([rule.split_by, _split_column(config), length])


def _split_column(config: IngestionSettings) -> str | None:
    log, rule = config.sources.impressions, config.ingestion
    if log.splits is not None or rule.split_by == "row_hash":
        return None
    if rule.is_split_by_time:
        return log.timestamp
    return log.request_id if rule.split_by == "request_hash" else log.impression_id


def row_key(path: str, number: int) -> str:
    """Returns the key by which a row without an id is split: its file's name without the folder, and its number."""
    return f"row/{path.rsplit('/', 1)[-1]}:{number}"


def are_for_evaluation(
    rule: Ingestion, file: str, numbers: npt.NDArray[np.int64], values: pa.Array | None, cut: float
) -> npt.NDArray[np.bool_]:
    """Returns which rows of a file are for evaluation, where the splits have no files of their own.

    Args:
      rule: How rows are split.
      file: The file's path.
      numbers: int64 [n], the rows' numbers in the file.
      values: [n], the column by which rows are split (`Layout.split`); not used with `row_hash`.
      cut: With a split by time: the time, in seconds since 1970, after which rows are for evaluation.
    """
    if rule.is_split_by_time:
        return np.asarray(values, np.float64) > cut
    if values is None:
        keys = map(row_key, itertools.repeat(file), numbers.tolist())
        return for_evaluation(keys, rule.eval_fraction)
    encoded = values.dictionary_encode()
    texts = encoded.dictionary.to_numpy(zero_copy_only=False).tolist()
    is_eval: npt.NDArray[np.bool_] = for_evaluation(texts, rule.eval_fraction)[np.asarray(encoded.indices)]
    return is_eval


def cut_of_fraction(times: Mapping[float, int], eval_fraction: float) -> float:
    """Returns the time after which the last share of some rows is.

    Args:
      times: The number of rows of each time, in seconds since 1970.
      eval_fraction: The share f. Of n rows, these are the last round(f · n), at least one, and all others of the same
        time as the first of these.

    Returns:
      The largest float64 below their first time; 0 without rows.
    """
    left = max(1, round(eval_fraction * sum(times.values())))
    for time, number in sorted(times.items(), reverse=True):
        left -= number
        if left <= 0:
            return float(np.nextafter(time, -np.inf))
    return 0.0


def for_evaluation(keys: Iterable[str], eval_fraction: float) -> npt.NDArray[np.bool_]:
    """Returns which requests, impression ids or `row_key`s are for evaluation, the same ones on every machine."""
    return hash_fractions(key.encode() for key in keys) < eval_fraction


def assign_folds(keys: Iterable[str]) -> npt.NDArray[np.int8]:
    """Returns the fold of each key: of impressions that can share their label, or of one; see `trainer.counts`."""
    return (hash_fractions(b"fold/" + key.encode() for key in keys) * NUM_FOLDS).astype(np.int8)


def hash_fractions(keys: Iterable[bytes]) -> npt.NDArray[np.float64]:
    """Maps each key deterministically to a number in [0, 1)."""
    digests = b"".join([hashlib.blake2b(key, digest_size=8).digest() for key in keys])
    return np.frombuffer(digests, ">u8") / 2.0**64
