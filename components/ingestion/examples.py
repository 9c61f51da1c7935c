"""Converts an impression's values to a tf.Example, and computes its split and its fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from transform.config.config import ColumnKind, Config
from transform.feature_spec import (
    FOLD,
    IMPRESSION_ID,
    IMPRESSIONS,
    LABEL,
    NO_FOLD,
    NUM_FOLDS,
    REQUEST_ID,
    SHARES_LABEL,
    SPAN,
    TABLE_KEY,
    TIMESTAMP,
    WEIGHT,
    Feature,
)

KIND_OF_FEATURE: dict[str, ColumnKind] = {"categorical": "string", "categorical_list": "list", "numeric": "float"}


class Impression(NamedTuple):
    """An impression during ingestion.

    Attributes:
      file: The log file.
      row: The row's number in the file, as in `RawRow`.
      split: The split of the impression; empty until the log is split.
      values: The log row's values, in the order of the config's columns.
      label: 0 or 1; None until installs are joined.
      joined: The matching row's values by table; None if there is no match.
      shares_label: Whether it is a training row that can share its label with an evaluation row.
    """

    file: str
    row: int
    split: str
    values: tuple[Any, ...]
    label: int | None
    joined: dict[str, tuple[Any, ...] | None]
    shares_label: bool = False


class Layout:
    """The position of each value in the tuples that the row parser returns."""

    def __init__(self, config: Config):
        self._config = config
        self._index = {
            source: {(c.name, c.kind): i for i, c in enumerate(columns)} for source, columns in config.columns.items()
        }
        log = config.sources.impressions
        self.label = self._position(IMPRESSIONS, log.label, "label")
        self.weight = self._position(IMPRESSIONS, log.weight, "weight")
        self.impression_id = self._position(IMPRESSIONS, log.impression_id, "string")
        self.request_id = self._position(IMPRESSIONS, log.request_id, "string")
        self.timestamp = self._position(IMPRESSIONS, log.timestamp, "timestamp")
        #: The positions, in a log row, of the columns that are equal in rows that can share a label; empty if no rows
        #: can.
        self.label_columns = self._label_columns()
        self._features = [
            (f, f.source, self._index[f.source][f.source_column, KIND_OF_FEATURE[f.kind]]) for f in config.spec.features
        ]

    def _position(self, source: str, column: str | None, kind: ColumnKind) -> int | None:
        return None if column is None else self._index[source][column, kind]

    def key_positions(self, source: str, columns: Sequence[str]) -> tuple[int, ...]:
        """Returns the positions of key columns in a source's rows."""
        return tuple(self._index[source][column, "string"] for column in columns)

    def feature_positions(self, source: str) -> tuple[int, ...]:
        """Returns the positions of a source's features in its rows, in the order of the config's features."""
        return tuple(position for _, name, position in self._features if name == source)

    def timestamp_of(self, source: str, column: str) -> int:
        return self._index[source][column, "timestamp"]

    def _label_columns(self) -> tuple[int, ...]:
        installs, columns = self._config.sources.installs, self._config.sources.impressions.label_columns
        return self.key_positions(IMPRESSIONS, columns if installs is None else installs.keys)

    def fold(self, impression: Impression) -> int:
        """Returns an impression's fold: the same for all impressions that can share its label (`trainer.counts`).

        If every row has a label of its own, an evaluation row is in no fold: its count encodings may use all training
        rows.
        """
        if self.label_columns:
            key = repr([impression.values[at] for at in self.label_columns])
        elif impression.split == "eval":
            return NO_FOLD
        else:
            key = f"{impression.file}:{impression.row}"
        return int(hash_fraction(f"fold/{key}") * NUM_FOLDS)

    def serialized_example(self, impression: Impression, span: int) -> bytes:
        """Serializes an impression of a span as a tf.Example: one entry per feature; missing values have no entry.

        A feature with `renamed_from` has its value under both names.
        """
        example = tf.train.Example()
        entries = example.features.feature
        rows: Mapping[str, tuple[Any, ...] | None] = {IMPRESSIONS: impression.values, **impression.joined}
        for feature, source, position in self._features:
            row = rows[source]
            if row is not None:
                put_value(entries, feature, row[position])
                if feature.renamed_from is not None and feature.name in entries:
                    entries[feature.renamed_from].CopyFrom(entries[feature.name])
        if impression.label is not None:
            entries[LABEL].int64_list.value.append(impression.label)
        if self.weight is not None:
            entries[WEIGHT].float_list.value.append(impression.values[self.weight])
        for name, at in ((IMPRESSION_ID, self.impression_id), (REQUEST_ID, self.request_id)):
            if at is not None:
                entries[name].bytes_list.value.append(impression.values[at].encode())
        if self.timestamp is not None:
            entries[TIMESTAMP].int64_list.value.append(int(impression.values[self.timestamp]))
        entries[SPAN].int64_list.value.append(span)
        entries[FOLD].int64_list.value.append(self.fold(impression))
        entries[SHARES_LABEL].int64_list.value.append(int(impression.shares_label))
        return _serialize(example)

    def serialized_table_example(self, table: str, key: str, row: tuple[Any, ...]) -> bytes:
        """Serializes a table's row as a tf.Example: its features, and its key under `table_key`."""
        example = tf.train.Example()
        entries = example.features.feature
        for feature, source, position in self._features:
            if source == table:
                put_value(entries, feature, row[position])
        entries[TABLE_KEY].bytes_list.value.append(key.encode())
        return _serialize(example)


def _serialize(example: tf.train.Example) -> bytes:
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def put_value(entries: Any, feature: Feature, value: Any) -> None:
    """Adds a feature's value to a tf.Example's entries; None adds nothing."""
    if value is None:
        return
    if feature.is_numeric:
        entries[feature.name].float_list.value.append(value)
    elif feature.is_list:
        entries[feature.name].bytes_list.value.extend(text.encode() for text in value)
    else:
        entries[feature.name].bytes_list.value.append(value.encode())


def split_rule(config: Config) -> str:
    """Returns a string that identifies a config's split rule; equal for two configs that split the same rows alike."""
    log, rule = config.sources.impressions, config.ingestion
    if log.splits is not None:
        return json.dumps(log.splits, sort_keys=True)
    by_time = rule.split_by == "time"
    key = log.timestamp if by_time else log.request_id if rule.split_by == "request_hash" else log.impression_id
    return json.dumps([rule.split_by, key, rule.eval_seconds if by_time else rule.eval_fraction])


def split_of_key(key: str, eval_fraction: float) -> str:
    """Returns the split of a request or an impression id: the same on every machine, in every run."""
    return "eval" if hash_fraction(key) < eval_fraction else "train"


def hash_fraction(key: str) -> float:
    """Maps a key deterministically to a number in [0, 1)."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
