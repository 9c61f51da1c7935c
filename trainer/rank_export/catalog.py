"""The catalog inside a model: the items whose features a request does not have to send."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.rank_export.encoders import Rows
from transform.config.component_settings import DataSettings
from transform.files.records import table_rows
from transform.files.version_layout import catalog_digest
from transform.ranking import absent_signatures, item_tables
from transform.signature_names import RANK_SIGNATURE

#: The bytes of a file that are read at once.
_BLOCK_BYTES = 1 << 20

#: The number of items that are encoded at once.
_BATCH_SIZE = 4096


def read_items(config: DataSettings, catalog: str | None) -> dict[bytes, bytes]:
    """Reads a snapshot of the catalog.

    Args:
      config: The deployment.
      catalog: The folder of the snapshot, as ingestion writes it: a folder of TFRecord files per table. None if there
        is no snapshot.

    Returns:
      A serialized tf.Example of the item's features, from all of `item_tables`, by item id; empty for a model without
      the signature `rank`, whose requests send each item's features.
    """
    if catalog is None or RANK_SIGNATURE in absent_signatures(config):
        return {}
    item_id_feature = config.item_id
    assert item_id_feature is not None  # without it there is no `rank`
    # Serialized, since millions of messages take much memory; concatenating two merges the fields of both.
    items: dict[bytes, bytes] = {}
    for name, key_feature in item_tables(config).items():
        rows = ((key, row.SerializeToString()) for key, row in table_rows(os.path.join(catalog, name)))
        if key_feature == item_id_feature.name:
            for key, row in rows:
                items[key] = items.get(key, b"") + row
            continue
        by_key = dict(rows)
        for item_id, item in items.items():
            for key in tf.train.Example.FromString(item).features.feature[key_feature].bytes_list.value[:1]:
                items[item_id] = item + by_key.get(key, b"")
    return dict(sorted(items.items()))


def digest_of(catalog: str | None) -> str:
    """Returns the digest of a snapshot of the catalog, as `catalog_digest` does; empty if there is none.

    Args:
      catalog: As in `read_items`.
    """
    if catalog is None:
        return ""
    found = {}
    for folder, _, names in tf.io.gfile.walk(catalog):
        for name in names:
            path, digest = os.path.join(folder, name), hashlib.sha256()
            with tf.io.gfile.GFile(path, "rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
            found[os.path.relpath(path, catalog)] = digest.hexdigest()
    return catalog_digest(found)


class Catalog:
    """The encoded items, and the row of each.

    After the items' rows there is one more row, for items that are not in the catalog and must be encoded per request.

    Args:
      items: Serialized tf.Examples, by id.
      encode: Encodes ids and tf.Examples, string `[rows]` each.
    """

    def __init__(self, items: Mapping[bytes, bytes], encode: tf.types.experimental.GenericFunction) -> None:
        ids, examples = [*items, b""], [*items.values(), b""]
        parts: dict[str, _Parts] = {}
        for at in range(0, len(ids), _BATCH_SIZE):
            some = slice(at, at + _BATCH_SIZE)
            for name, rows in encode(tf.constant(ids[some]), tf.constant(examples[some])).items():
                parts.setdefault(name, _Parts(name, len(ids))).add(rows)
        self._columns = {name: part.column() for name, part in parts.items()}
        self._examples = _Texts(examples)
        self.unknown = len(items)
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(ids), tf.range(len(ids), dtype=tf.int64))
        self._row_of = tf.lookup.StaticHashTable(entries, default_value=self.unknown)

    @property
    def resources(self) -> list[object]:
        """The resources that the export must track."""
        columns = [variable for column in self._columns.values() for variable in column.variables]
        return [self._row_of, *columns, *self._examples.variables]

    def rows_of(self, ids: tf.Tensor) -> tf.Tensor:
        """The row of each id, int64 `[ids]`; `unknown` for an id that is not in the catalog."""
        return self._row_of.lookup(ids)

    def gather(self, rows: tf.Tensor) -> Rows:
        """The encodings in the given rows."""
        return {name: tf.gather(column.tensor(), rows) for name, column in self._columns.items()}

    def look_up_examples(self, rows: tf.Tensor) -> tf.Tensor:
        """The tf.Examples in the given rows, string `[rows]`; empty for the row `unknown`. Explanations read them."""
        return self._examples.gather(rows)


class _Texts:
    """Texts, joined by blocks in their order: each text in a tensor takes 24 bytes more than its content."""

    _BLOCK = 64

    def __init__(self, texts: Sequence[bytes]) -> None:
        blocks = [texts[at : at + self._BLOCK] for at in range(0, len(texts), self._BLOCK)]
        sizes = [[len(text) for text in block] for block in blocks]
        starts = [np.cumsum([0, *of_block[:-1]]) for of_block in sizes]
        self.variables = [
            tf.Variable(values, trainable=False, name=f"ranker/catalog/examples/{name}")
            for name, values in (
                ("blocks", [b"".join(block) for block in blocks]),
                ("starts", np.concatenate(starts).astype(np.int32)),
                ("sizes", np.concatenate(sizes).astype(np.int32)),
            )
        ]

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        blocks, starts, sizes = self.variables
        return tf.strings.substr(
            tf.gather(blocks, rows // self._BLOCK), tf.gather(starts, rows), tf.gather(sizes, rows)
        )


class _Parts:
    """A column that is assembled batch by batch.

    A dense column is written straight into its variable, so that a large catalog is in memory once, not also as a list
    of batches and as their concatenation.
    """

    def __init__(self, name: str, num_rows: int) -> None:
        self._name, self._num_rows, self._at = name, num_rows, 0
        self._ragged: list[tf.RaggedTensor] = []
        self._dense: tf.Variable | None = None

    def add(self, rows: tf.Tensor | tf.RaggedTensor) -> None:
        """Appends a batch of rows."""
        if isinstance(rows, tf.RaggedTensor):
            self._ragged.append(rows)
            return
        if self._dense is None:
            self._dense = self._variable(tf.zeros([self._num_rows, *rows.shape[1:]], rows.dtype))
        end = self._at + rows.shape[0]
        self._dense[self._at : end].assign(rows)
        self._at = end

    def column(self) -> _Column:
        """The whole column."""
        if self._dense is not None:
            return _Column([self._dense])
        rows = tf.concat(self._ragged, axis=0)
        return _Column([self._variable(rows.values), self._variable(rows.row_splits)])

    def _variable(self, values: tf.Tensor) -> tf.Variable:
        return tf.Variable(values, trainable=False, name=f"ranker/catalog/{self._name}")


class _Column:
    """A tensor or RaggedTensor in variables: its values and, if it is ragged, its row splits."""

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self.variables = variables

    def tensor(self) -> tf.Tensor | tf.RaggedTensor:
        if len(self.variables) == 1:
            return self.variables[0]
        values, row_splits = self.variables
        return tf.RaggedTensor.from_row_splits(tf.convert_to_tensor(values), row_splits, validate=False)
