"""Requests as production sends them to `rank` (a context and item ids), and the same candidate items as whole examples.

The whole examples are made from the catalog snapshot: not from logged rows, which may predate a change of the catalog,
and not by the exporter's code.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from transform.config.component_settings import DataSettings
from transform.feature import IMPRESSIONS
from transform.files.records import table_rows
from transform.ranking import item_tables

#: The least number of items of the catalog in each request, if the catalog has as many.
_ITEMS_PER_REQUEST = 40

#: The largest number of items ranked; of a larger catalog, items at even distances are taken.
_MAX_ITEMS = 50_000

#: The id of an item that is in no catalog.
_UNKNOWN = b"\x00unknown"

#: The values by feature, as in a tf.Example.
_Features = Mapping[str, tf.train.Feature]


@dataclasses.dataclass(frozen=True)
class RankingRequests:
    """Requests with the same number of candidate items each; the candidates are listed one request after the other.

    Attributes:
      contexts: Each request's context features, a serialized tf.Example.
      item_ids: The candidates: items of the catalog, the logged item, an item that is not in the catalog, one that
        occurs twice, and an empty id, which means no candidate.
      items: Each candidate's item features, a serialized tf.Example.
      rows: Each candidate as input of `serving_default`: context and item features in one serialized tf.Example.
      num_items: The number of items of the catalog among the candidates.
    """

    contexts: list[bytes]
    item_ids: list[bytes]
    items: list[bytes]
    rows: list[bytes]
    num_items: int

    @property
    def num_candidates(self) -> int:
        """The number of candidates of each request."""
        return len(self.item_ids) // len(self.contexts)


def ranking_requests(config: DataSettings, catalog_uri: str, logged: Sequence[bytes]) -> RankingRequests:
    """Makes requests whose candidates include all items of the catalog, or `_MAX_ITEMS` of them.

    Args:
      config: The config; its models have the signature `rank`.
      catalog_uri: The catalog snapshot.
      logged: Serialized raw tf.Examples of the log; each is the context of a request.

    Returns:
      A request for each logged example, and one whose context has no feature.
    """
    item_id = config.item_id
    assert item_id is not None  # `rank` requires an item id
    catalog = _Catalog(config, catalog_uri, item_id.name)
    items = _spread(sorted(catalog.ids), _MAX_ITEMS)
    examples = [*(tf.train.Example.FromString(row).features.feature for row in logged), {}]
    per_request = min(len(items), max(_ITEMS_PER_REQUEST, -(-len(items) // len(examples))))
    turn = itertools.cycle(items)
    requests = RankingRequests([], [], [], [], len(items))
    for example in examples:
        context = {f.name: example[f.name] for f in config.spec.features if f.side == "context" and f.name in example}
        own = list(example[item_id.name].bytes_list.value) if item_id.name in example else []
        some = list(itertools.islice(turn, per_request))
        requests.contexts.append(_serialized(context))
        for candidate in [*some, (*own, b"")[0], _UNKNOWN, (*some, *own, b"")[0], b""]:
            item = catalog.features_of(candidate)
            requests.item_ids.append(candidate)
            requests.items.append(_serialized(item))
            requests.rows.append(_serialized({**context, **item}))
    return requests


class _Catalog:
    """The rows of the items' tables in a catalog snapshot."""

    def __init__(self, config: DataSettings, uri: str, item_id: str) -> None:
        self._item_id = item_id
        self._tables = [
            (key_feature, dict(table_rows(os.path.join(uri, name))))
            for name, key_feature in item_tables(config).items()
        ]
        self._names = {f.name for f in config.spec.features if f.side == "item" and f.source != IMPRESSIONS}

    @property
    def ids(self) -> set[bytes]:
        return {key for key_feature, rows in self._tables if key_feature == self._item_id for key in rows}

    def features_of(self, item_id: bytes) -> _Features:
        """Returns an item's features; only the id for an item that is in no table."""
        found = {self._item_id: _text(item_id)}
        for key_feature, rows in self._tables:
            key = found[key_feature].bytes_list.value[:1] if key_feature in found else []
            for row in (rows[k].features.feature for k in key if k in rows):
                found |= {name: row[name] for name in row if name in self._names}
        return found


def _spread(ids: Sequence[bytes], most: int) -> list[bytes]:
    """Returns at most `most` of the ids, at even distances."""
    return [ids[i * len(ids) // most] for i in range(most)] if len(ids) > most else list(ids)


def _text(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _serialized(features: _Features) -> bytes:
    example = tf.train.Example(features=tf.train.Features(feature=features))
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized
