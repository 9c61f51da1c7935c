"""Ranks each request's candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.rank_export.catalog import Catalog
from trainer.rank_export.encoders import FIRST_SUM, UNKNOWN, WIDE, Encoders, Rows
from trainer.wide_deep.model import WideDeep
from transform.feature import Feature
from transform.preprocessing import as_column
from transform.signature_names import (
    CATALOG_DIGEST_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    IN_CATALOG_OUTPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    SCORES_OUTPUT,
    UNKNOWN_CONTEXT_OUTPUT,
    WIDE_LOGITS_OUTPUT,
)

#: Pads a request that has fewer candidates than others.
_NO_ITEM = ""


class Ranker:
    """Scores and sorts the candidates of a batch of requests.

    Args:
      model: The trained model.
      encoders: The model's encoders.
      item_id: The feature that is the item's id.
      item_parsing: How a tf.Example of item features is parsed, by feature.
      items: The catalog: serialized tf.Examples of item features, by id.
      has_catalog: Whether the catalog has all item features that the model reads. If not, an item without features is
        an error: its score from the id alone would differ from `serving_default`'s.
      catalog_digest: The digest of the catalog's snapshot, an output; empty for none.
    """

    def __init__(
        self,
        model: WideDeep,
        encoders: Encoders,
        item_id: Feature,
        item_parsing: Mapping[str, Any],
        items: Mapping[bytes, bytes],
        *,
        has_catalog: bool,
        catalog_digest: str = "",
    ) -> None:
        self._model, self._encoders, self._identity, self._item_parsing = model, encoders, item_id, item_parsing
        self._catalog = Catalog(items, tf.function(self._encode_items, autograph=False))
        self._has_catalog, self._catalog_digest = has_catalog, catalog_digest if has_catalog else ""
        #: The resources that the export must track; the model's own are tracked by the caller.
        self.resources = [*encoders.resources, *self._catalog.resources]

    def rank(
        self, context: Mapping[str, tf.SparseTensor], item_ids: tf.Tensor, examples: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Scores and sorts candidates.

        Args:
          context: The contexts' raw features, SparseTensors `[requests, any]`.
          item_ids: string `[requests, candidates]`.
          examples: The items' tf.Examples, string `[requests, candidates]`; for an empty one the catalog's is taken.

        Returns:
          The signature's outputs.
        """
        places = tf.where(item_ids != _NO_ITEM)
        given = tf.gather_nd(examples, places)
        if not self._has_catalog:
            given = _all_given(given)
        candidates, in_catalog = self._items(tf.gather_nd(item_ids, places), given)
        contexts = self._encoders.encode("context", context)
        wide, deep = self._logits(contexts, candidates, places[:, 0])
        logits = tf.tensor_scatter_nd_update(tf.fill(tf.shape(item_ids), float("-inf")), places, wide + deep)
        order = tf.argsort(logits, axis=1, direction="DESCENDING", stable=True)
        shape = tf.shape(item_ids, out_type=tf.int64)
        outputs = {
            ITEM_IDS: item_ids,
            SCORES_OUTPUT: tf.sigmoid(logits),
            WIDE_LOGITS_OUTPUT: tf.scatter_nd(places, wide, shape),
            DEEP_LOGITS_OUTPUT: tf.scatter_nd(places, deep, shape),
        }
        if self._has_catalog:
            outputs[IN_CATALOG_OUTPUT] = tf.scatter_nd(places, in_catalog, shape)
        ranked = {name: tf.gather(value, order, axis=1, batch_dims=1) for name, value in outputs.items()}
        if UNKNOWN in contexts:
            ranked[UNKNOWN_CONTEXT_OUTPUT] = contexts[UNKNOWN]
        if self._catalog_digest:
            ranked[CATALOG_DIGEST_OUTPUT] = tf.fill(tf.shape(item_ids)[:1], self._catalog_digest)
        return ranked

    def raw_items(self, ids: tf.Tensor, examples: tf.Tensor) -> dict[str, tf.SparseTensor]:
        """The items' raw features, SparseTensors `[items, any]`, by name.

        Args:
          ids: string `[items]`.
          examples: The items' tf.Examples, string `[items]`; for an empty one the catalog's is taken.
        """
        if not self._has_catalog:
            return self._parsed(ids, _all_given(examples))
        catalog = self._catalog
        known = catalog.look_up_examples(catalog.rows_of(self._encoders.encode_item_ids(self._identity, ids)))
        return self._parsed(ids, tf.where(examples == "", known, examples))

    def _parsed(self, ids: tf.Tensor, examples: tf.Tensor) -> dict[str, tf.SparseTensor]:
        raw: dict[str, tf.SparseTensor] = tf.io.parse_example(examples, self._item_parsing)
        return raw | {self._identity.name: as_column(ids)}

    def _encode_items(self, ids: tf.Tensor, examples: tf.Tensor) -> Rows:
        return self._encoders.encode("item", self._parsed(ids, examples))

    def _items(self, ids: tf.Tensor, examples: tf.Tensor) -> tuple[Rows, tf.Tensor]:
        """The items' encodings, and whether each is in the catalog, bool `[items]`.

        An item is encoded if it is not in the catalog or the request has features of it. The others' encodings are the
        catalog's.
        """
        catalog = self._catalog
        rows = catalog.rows_of(self._encoders.encode_item_ids(self._identity, ids))
        in_catalog = rows != catalog.unknown
        is_new = ~in_catalog | (examples != b"")
        known = catalog.gather(rows)

        def with_new() -> Rows:
            (new,) = tf.unstack(tf.where(is_new), axis=1)
            encoded = self._encode_items(tf.gather(ids, new), tf.gather(examples, new))
            num_ids = tf.size(ids, out_type=tf.int64)
            place = num_ids + tf.range(tf.size(new, out_type=tf.int64))
            places = tf.tensor_scatter_nd_update(tf.range(num_ids), new[:, tf.newaxis], place)
            return {name: tf.gather(tf.concat([known[name], encoded[name]], axis=0), places) for name in known}

        rows_of_all: Rows = tf.cond(tf.reduce_any(is_new), with_new, lambda: known)
        return rows_of_all, in_catalog

    def _logits(self, contexts: Rows, items: Rows, context_of: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The candidates' wide and deep logits, float32 `[candidates]` each."""
        sums = self._encoders.combine(contexts, items, context_of)
        if self._model.hidden_layers is None:
            return sums[WIDE], tf.zeros_like(sums[WIDE])
        deep = self._model.hidden_layers.after_first_sum(sums[FIRST_SUM])
        # Of one context, the sum stays one row if the deep part reads no item feature.
        return sums[WIDE], tf.broadcast_to(deep, tf.shape(sums[WIDE]))


def _all_given(examples: tf.Tensor) -> tf.Tensor:
    """The items' tf.Examples if none is empty; otherwise the graph raises InvalidArgumentError when it runs."""
    text = f"`{ITEMS_INPUT}` must have the features of every item, as this model has no catalog. Received, empty:"
    number = tf.math.count_nonzero(tf.equal(examples, ""))
    with tf.control_dependencies([tf.debugging.Assert(number == 0, [text, number])]):
        return tf.identity(examples)
