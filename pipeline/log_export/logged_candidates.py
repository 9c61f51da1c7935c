"""The candidates of logged requests as rows: each with the features of context and item as they were scored."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2

# tfx-bsl 1.21.0 has no public decoder outside of Beam.
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from serving.serving_log.record import candidates
from trainer.rank_export.catalog import digest_of, read_items
from transform.config.component_settings import DataSettings
from transform.config.serving_log import ITEM_ID, REQUEST_ID, TIMESTAMP, logged_column
from transform.feature import Feature
from transform.files.version_layout import CATALOG_FOLDER, EXTRA_ASSETS, find_model_folders
from transform.raw_texts import trimmed

#: Reads the items of a catalog: their serialized tf.Examples by id. None if the catalog is nowhere.
Catalogs = Callable[[int, str], Mapping[bytes, bytes] | None]

_TEXT = pa.dictionary(pa.int32(), pa.string())

#: The columns of the log itself, with their types.
_OWN = {
    REQUEST_ID: _TEXT,
    ITEM_ID: _TEXT,
    TIMESTAMP: pa.timestamp("us", "UTC"),
    "rank": pa.int32(),
    "score": pa.float32(),
    "propensity": pa.float32(),
    "policy": _TEXT,
    "model": _TEXT,
    "version": pa.int64(),
    "user": _TEXT,
    "in_catalog": pa.bool_(),
}


def catalogs_of_versions(folder: str | None, config_of: Callable[[str], DataSettings]) -> Catalogs:
    """Returns the reader of the catalogs inside pushed versions.

    Args:
      folder: The folder of a model's versions, such as `serving/app_store`; None if there is none.
      config_of: Reads the config of a version.
    """

    @functools.cache
    def digest(path: str) -> str:
        return digest_of(os.path.join(path, EXTRA_ASSETS, CATALOG_FOLDER))

    @functools.lru_cache(maxsize=4)
    def read(version: int, wanted: str) -> Mapping[bytes, bytes] | None:
        found = [] if folder is None else find_model_folders(folder).items()
        paths = [os.path.join(of, str(number)) for of, numbers in found for number in numbers]
        for path in sorted(paths, key=lambda path: os.path.basename(path) != str(version)):
            if digest(path) == wanted:
                return read_items(config_of(path), os.path.join(path, EXTRA_ASSETS, CATALOG_FOLDER))
        return None

    return read


#: What the candidates of a request have in common, as the record names it.
_OF_REQUEST = ("request_id", "time_micros", "policy", "model", "version", "user_key")


class CandidateRows:
    """Turns records into rows, with the features that a config has.

    Args:
      config: The config.
      catalogs: Where the features of an item are that was sent by id.

    Attributes:
      skipped: Candidates without a row, by reason.
    """

    def __init__(self, config: DataSettings, catalogs: Catalogs):
        self._catalogs = catalogs
        self._item_id = config.item_id
        self.skipped: collections.Counter[str] = collections.Counter()
        self._sides = {side: self._features(config, side) for side in ("context", "item")}

    def _features(self, config: DataSettings, side: str) -> dict[str, Feature]:
        """Returns the features that requests send, by the names of their columns."""
        named = ((logged_column(f, self._item_id), f) for f in config.spec.features if f.side == side)
        return {column: feature for column, feature in named if column.startswith(f"{side}.")}

    def table(self, records: Sequence[Any]) -> pa.Table:
        """Returns the candidates of records, in their order; counts those without a row."""
        requests: list[tuple[Any, ...]] = []
        of_request, own = [], []
        examples: list[bytes] = []
        for at, record in enumerate(records):
            requests.append(tuple(getattr(record, name) for name in _OF_REQUEST))
            items: Mapping[bytes, bytes] | None = {}
            if record.catalog_digest and (not record.item_features or not all(record.item_features)):
                items = self._catalogs(record.version, record.catalog_digest)
            if items is None:
                self.skipped["no_catalog"] += len(record.item_ids)
                continue
            for candidate in candidates(record):
                item_id = trimmed(candidate.item_id)
                own.append((item_id, candidate.rank, candidate.score, candidate.propensity, candidate.in_catalog))
                examples.append(candidate.features or items.get(item_id.encode(), b""))
                of_request.append(at)
        rows = np.array(of_request, np.int64)
        columns: dict[str, Any] = dict(
            zip((ITEM_ID, "rank", "score", "propensity", "in_catalog"), _transposed(own, 5), strict=True)
        )
        names = (REQUEST_ID, TIMESTAMP, "policy", "model", "version", "user")
        for name, values in zip(names, _transposed(requests, 6), strict=True):
            columns[name] = _as(values, _OWN[name]).take(pa.array(rows))
        contexts, bad_contexts = decode([record.context for record in records], self._sides["context"])
        columns |= {name: values.take(pa.array(rows)) for name, values in contexts.items()}
        encoded = pa.array(examples, pa.large_binary()).dictionary_encode()
        at_item = np.asarray(encoded.indices, np.int64)
        decoded, bad_items = decode(encoded.dictionary.to_pylist(), self._sides["item"])
        columns |= {name: values.take(pa.array(at_item)) for name, values in decoded.items()}
        is_bad = bad_contexts[rows] | bad_items[at_item]
        self.skipped["other_types"] += int(is_bad.sum())
        typed = {name: _as(columns[name], kind) for name, kind in _OWN.items()}
        features = {name: values for name, values in columns.items() if name not in _OWN}
        return pa.table(typed | features).filter(pa.array(~is_bad))


def _transposed(rows: Sequence[tuple[Any, ...]], number: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * number


def _as(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)


def decode(
    examples: Sequence[bytes], features: Mapping[str, Feature]
) -> tuple[dict[str, pa.Array], npt.NDArray[np.bool_]]:
    """Decodes serialized tf.Examples.

    Args:
      examples: The examples; an empty one has no features.
      features: The features to read, by the columns' names.

    Returns:
      The columns, and which examples are none, or have a feature of another type, or several values of a feature that
      has one: their rows mean nothing.
    """
    by_name: dict[str, list[str]] = {}
    for column, feature in features.items():
        by_name.setdefault(feature.name, []).append(column)
    schema = schema_pb2.Schema()
    kinds = {feature.name: feature.of_kind.column for feature in features.values()}
    for name, kind in kinds.items():
        schema.feature.add(name=name, type=schema_pb2.FLOAT if kind == "float" else schema_pb2.BYTES)
    serialized = schema.SerializeToString()
    is_bad = np.zeros(len(examples), bool)
    if not features:
        return {}, is_bad
    try:
        batch = _decoded(examples, serialized)
    except RuntimeError:
        is_bad = np.array([not _can_decode(example, serialized) for example in examples])
        batch = _decoded([b"" if bad else example for bad, example in zip(is_bad, examples, strict=True)], serialized)
    columns: dict[str, pa.Array] = {}
    for name, kind in kinds.items():
        lists = batch.column(batch.schema.get_field_index(name))
        values = lists if kind == "list" else _only_values(lists, is_bad)
        for column in by_name[name]:
            columns[column] = _typed(values, kind, is_bad)
    return columns, is_bad


def _decoded(examples: Sequence[bytes], schema: bytes) -> pa.RecordBatch:
    # A decoder that has refused an example keeps what it read of it: each batch has its own.
    return ExamplesToRecordBatchDecoder(schema).DecodeBatch(list(examples))


def _can_decode(example: bytes, schema: bytes) -> bool:
    try:
        _decoded([example], schema)
    except RuntimeError:
        return False
    return True


def _only_values(lists: pa.Array, is_bad: npt.NDArray[np.bool_]) -> pa.Array:
    """Returns the values of lists with one; null where there is none. Notes those with several."""
    lengths = np.asarray(lists.value_lengths().fill_null(0), np.int64)
    is_bad |= lengths > 1
    starts = np.cumsum(lengths) - lengths
    return lists.flatten().take(pa.array(starts, mask=lengths != 1))


def _typed(values: pa.Array, kind: str, is_bad: npt.NDArray[np.bool_]) -> pa.Array:
    """Returns values in the type of their column; notes texts that are not UTF-8."""
    if kind == "float":
        return values.cast(pa.float32())
    target = pa.list_(pa.string()) if kind == "list" else pa.string()
    try:
        typed = values.cast(target)
    except pa.ArrowInvalid:
        one_by_one = [values.slice(at, 1) for at in range(len(values))]
        bad = np.array([not _can_cast(value, target) for value in one_by_one])
        is_bad |= bad
        typed = pc.if_else(pa.array(bad), pa.scalar(None, values.type), values).cast(target)
    return typed if kind == "list" else typed.dictionary_encode()


def _can_cast(value: pa.Array, target: pa.DataType) -> bool:
    try:
        value.cast(target)
    except pa.ArrowInvalid:
        return False
    return True
