"""An impression, row by row: its tf.Example and its fold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from components.ingestion.layout import Layout as Columns
from transform.example_keys import (
    FOLD,
    IMPRESSION_ID,
    LABEL,
    NO_FOLD,
    NUM_FOLDS,
    PLACEMENT,
    REQUEST_ID,
    SHARES_LABEL,
    SPAN,
    TABLE_KEY,
    TIMESTAMP,
    WEIGHT,
)
from transform.feature import IMPRESSIONS, Feature


def put_value(entries: Any, feature: Feature, value: Any) -> None:
    """Adds a feature's value to a tf.Example's entries; None adds nothing."""
    if value is None:
        return
    values = value if feature.is_list else [value]
    if feature.of_kind.holds == "text":
        entries[feature.name].bytes_list.value.extend(text.encode() for text in values)
    else:
        entries[feature.name].float_list.value.extend(values)


def split_of_key(key: str, eval_fraction: float) -> str:
    """Returns the split of a request, an impression id or a `row_key`."""
    return "eval" if hash_fraction(key) < eval_fraction else "train"


def hash_fraction(key: str) -> float:
    """Maps a key to a number in [0, 1)."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


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


class Layout(Columns):
    """The position of each value in the tuples that the row parser returns, and the examples made of them."""

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
        for at in (self.randomized, self.propensity):
            if at is not None:
                entries[PLACEMENT].float_list.value.append(float(impression.values[at]))
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
