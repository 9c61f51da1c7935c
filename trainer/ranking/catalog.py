"""The items that a model knows without being told: its snapshot of the catalog."""

from __future__ import annotations

import os
from collections.abc import Mapping

import tensorflow as tf

from trainer.ranking.encoders import Rows
from transform.catalog import table_rows
from transform.config import Config

#: In `custom_config`: the folder of the catalog's snapshot.
CATALOG_KEY = "catalog"

#: So many items are encoded at once.
_BATCH_SIZE = 4096


def read_items(config: Config, catalog: str | None) -> dict[bytes, bytes]:
    """Reads a snapshot of the catalog.

    Args:
      config: The deployment.
      catalog: The folder of the snapshot, as ingestion writes it: a folder of TFRecord files per table. None for none.

    Returns:
      By item id, a serialized tf.Example of the item's features, from all tables that are joined by its id.
    """
    identity = config.item_id
    if catalog is None or identity is None:
        return {}
    items: dict[bytes, tf.train.Example] = {}
    for name, table in sorted(config.sources.tables.items()):
        if table.log_column != identity.source_column:
            continue
        for key, example in table_rows(os.path.join(catalog, name)):
            items.setdefault(key, tf.train.Example()).MergeFrom(example)
    return {key: item.SerializeToString() for key, item in sorted(items.items())}


class Catalog:
    """The encoded items, and the row of each.

    Behind the items' rows there is one more, for an item that is not in the catalog: it has to be encoded anew.

    Args:
      items: By id, serialized tf.Examples.
      encode: Encodes ids and tf.Examples, string `[rows]` each.
    """

    def __init__(self, items: Mapping[bytes, bytes], encode: tf.types.experimental.GenericFunction) -> None:
        ids, examples = [*items, b""], [*items.values(), b""]
        batches = [
            encode(tf.constant(ids[at : at + _BATCH_SIZE]), tf.constant(examples[at : at + _BATCH_SIZE]))
            for at in range(0, len(ids), _BATCH_SIZE)
        ]
        self._columns = {name: _Column(name, tf.concat([b[name] for b in batches], axis=0)) for name in batches[0]}
        self.unknown = len(items)
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(ids), tf.range(len(ids), dtype=tf.int64))
        self._row_of = tf.lookup.StaticHashTable(entries, default_value=self.unknown)

    @property
    def resources(self) -> list[object]:
        """What an export has to keep track of."""
        return [self._row_of, *(variable for column in self._columns.values() for variable in column.variables)]

    def rows_of(self, ids: tf.Tensor) -> tf.Tensor:
        """The row of each id, int64 `[ids]`; `unknown` for an id that is not in the catalog."""
        return self._row_of.lookup(ids)

    def gather(self, rows: tf.Tensor) -> Rows:
        """What is known of some rows."""
        return {name: tf.gather(column.tensor(), rows) for name, column in self._columns.items()}


class _Column:
    """A tensor or RaggedTensor in variables."""

    def __init__(self, name: str, value: tf.Tensor | tf.RaggedTensor) -> None:
        parts = [value.values, value.row_splits] if isinstance(value, tf.RaggedTensor) else [value]
        self.variables = [tf.Variable(part, trainable=False, name=f"ranker/catalog/{name}") for part in parts]

    def tensor(self) -> tf.Tensor | tf.RaggedTensor:
        if len(self.variables) == 1:
            return self.variables[0]
        values, row_splits = self.variables
        return tf.RaggedTensor.from_row_splits(tf.convert_to_tensor(values), row_splits, validate=False)
