"""A SavedModel with the signatures of an exported model, and a score with a simple formula.

An item has the features `app_id` and `quality`; a context has `country` and `age`. The wide logit is the quality, and
the deep logit is age / 100 + version. An item that the catalog lacks has quality 0. In explanations, the quality is a
weight, and the version is the deep baseline's logit, to which the age adds all but a gap of `GAP`. The country's
vocabulary is `COUNTRIES`.
"""

from __future__ import annotations

import math
from pathlib import Path

import tensorflow as tf

from transform import signature_names as names

#: The catalog: the quality of each item `app_0` to `app_299`. All differ, and their order is not that of the ids.
CATALOG = {f"app_{i}": (i * 37 % 300) / 100 for i in range(300)}

#: The countries that are known; an empty text stands for none.
COUNTRIES = ("us", "de", "7", "")

#: What the model says of its catalog's snapshot.
DIGEST = "d1"

#: What the attributions of the deep part leave unexplained.
GAP = 0.0625

_CONTEXT = {"country": tf.io.VarLenFeature(tf.string), "age": tf.io.FixedLenFeature([], tf.float32, 0.0)}
_ITEM = {"app_id": tf.io.FixedLenFeature([], tf.string, ""), "quality": tf.io.FixedLenFeature([], tf.float32, 0.0)}


def deep_logit(age: float, version: int = 1) -> float:
    return age / 100 + version


def score(quality: float, age: float, version: int = 1) -> float:
    return 1 / (1 + math.exp(-quality - deep_logit(age, version)))


class TinyModel(tf.Module):  # type: ignore[misc]
    """Ranks like an exported model."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(float(version))
        initializer = tf.lookup.KeyValueTensorInitializer(list(CATALOG), list(CATALOG.values()), tf.string, tf.float32)
        self.catalog = tf.lookup.StaticHashTable(initializer, 0.0)
        known = tf.lookup.KeyValueTensorInitializer(list(CATALOG), [1] * len(CATALOG), tf.string, tf.int64)
        self.known = tf.lookup.StaticHashTable(known, 0)

    def _ranked(
        self, country: tf.Tensor, age: tf.Tensor, item_ids: tf.Tensor, quality: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        deep = tf.broadcast_to(age[:, None] / 100.0 + self.version, tf.shape(quality))
        scores = tf.sigmoid(quality + deep)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        outputs = {
            names.ITEM_IDS: item_ids,
            names.SCORES_OUTPUT: scores,
            names.WIDE_LOGITS_OUTPUT: quality,
            names.DEEP_LOGITS_OUTPUT: deep,
            names.IN_CATALOG_OUTPUT: self.known.lookup(item_ids) > 0,
        }
        ranked = {name: tf.gather(values, order, batch_dims=1) for name, values in outputs.items()}
        is_known = tf.reduce_any(country[:, None] == tf.constant(COUNTRIES), axis=1)
        digest = tf.fill(tf.shape(item_ids)[:1], DIGEST)
        unknown = tf.where(is_known, "", "country")
        return ranked | {names.UNKNOWN_CONTEXT_OUTPUT: unknown, names.CATALOG_DIGEST_OUTPUT: digest}

    def rank(self, context: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        country, age = _country_and_age(context)
        return self._ranked(country, age, item_ids, self.catalog.lookup(item_ids))

    def rank_items(self, context: tf.Tensor, item_ids: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        country, age = _country_and_age(context)
        given = tf.reshape(tf.io.parse_example(tf.reshape(items, [-1]), _ITEM)["quality"], tf.shape(items))
        return self._ranked(country, age, item_ids, tf.where(items == "", self.catalog.lookup(item_ids), given))

    def rank_named(self, country: tf.Tensor, age: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._ranked(country, age, item_ids, self.catalog.lookup(item_ids))

    def _explained(self, age: tf.Tensor, quality: tf.Tensor) -> dict[str, tf.Tensor]:
        nothing, deep = tf.zeros_like(quality), tf.zeros_like(quality) + age / 100.0
        texts = tf.fill(tf.shape(quality), "quality")
        return {
            names.SCORES_OUTPUT: tf.sigmoid(quality + deep + self.version),
            names.BIAS_OUTPUT: nothing,
            names.WIDE_FEATURES_OUTPUT: tf.stack([texts, tf.fill(tf.shape(quality), "")], axis=-1),
            names.WIDE_VALUES_OUTPUT: tf.stack([tf.strings.as_string(quality, shortest=True), texts], axis=-1),
            names.WIDE_WEIGHTS_OUTPUT: tf.stack([quality, nothing], axis=-1),
            names.DEEP_LOGITS_OUTPUT: deep + self.version,
            names.DEEP_BASELINE_LOGITS_OUTPUT: nothing + self.version,
            names.DEEP_FEATURES_OUTPUT: tf.fill(tf.concat([tf.shape(quality), [1]], 0), "age"),
            names.DEEP_VALUES_OUTPUT: tf.strings.as_string(nothing + age, shortest=True)[..., tf.newaxis],
            names.DEEP_ATTRIBUTIONS_OUTPUT: (deep - GAP)[..., tf.newaxis],
            names.DEEP_GAPS_OUTPUT: nothing + GAP,
        }

    def explain(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, _CONTEXT | _ITEM)
        return self._explained(parsed["age"], parsed["quality"])

    def explain_items(self, context: tf.Tensor, item_ids: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        age = tf.io.parse_example(context, _CONTEXT)["age"]
        given = tf.reshape(tf.io.parse_example(tf.reshape(items, [-1]), _ITEM)["quality"], tf.shape(items))
        quality = tf.where(items == "", self.catalog.lookup(item_ids), given)
        return self._explained(age[:, tf.newaxis], quality)

    def transform(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, _CONTEXT | _ITEM)
        country = {f"country_xf/{part}": getattr(parsed["country"], part) for part in ("indices", "values")}
        numbers = {f"{name}_xf": parsed[name] for name in ("age", "app_id", "quality")}
        return country | numbers | {"age_bucket_xf": parsed["age"]}

    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, _CONTEXT | _ITEM)
        return {names.SCORES_OUTPUT: tf.sigmoid(parsed["quality"] + parsed["age"] / 100.0 + self.version)}


def _country_and_age(context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The contexts' first country, empty without one, and age."""
    parsed = tf.io.parse_example(context, _CONTEXT)
    countries = tf.concat([tf.sparse.to_dense(parsed["country"]), tf.fill([tf.size(context), 1], "")], axis=1)
    return countries[:, 0], parsed["age"]


def export_tiny(folder: Path, version: int = 1, *, rank: bool = True) -> Path:
    """Writes a version into a model's folder; without `rank`, it has `serving_default` alone."""
    model = TinyModel(version)
    signatures = {
        names.SERVING_SIGNATURE: tf.function(
            model.serve, input_signature=[tf.TensorSpec([None], tf.string, names.EXAMPLES_INPUT)]
        )
    }
    if rank:
        context = tf.TensorSpec([None], tf.string, names.CONTEXT_INPUT)
        ids = tf.TensorSpec([None, None], tf.string, names.ITEM_IDS)
        items = tf.TensorSpec([None, None], tf.string, names.ITEMS_INPUT)
        named = (tf.TensorSpec([None], tf.string, "country"), tf.TensorSpec([None], tf.float32, "age"), ids)
        signatures |= {
            names.RANK_SIGNATURE: tf.function(model.rank, input_signature=(context, ids)),
            names.RANK_ITEMS_SIGNATURE: tf.function(model.rank_items, input_signature=(context, ids, items)),
            names.RANK_NAMED_SIGNATURE: tf.function(model.rank_named, input_signature=named),
            names.TRANSFORM_SIGNATURE: tf.function(
                model.transform, input_signature=[tf.TensorSpec([None], tf.string, names.EXAMPLES_INPUT)]
            ),
            names.EXPLAIN_ITEMS_SIGNATURE: tf.function(model.explain_items, input_signature=(context, ids, items)),
            names.EXPLAIN_SIGNATURE: tf.function(
                model.explain, input_signature=[tf.TensorSpec([None], tf.string, names.EXAMPLES_INPUT)]
            ),
        }
    path = folder / str(version)
    whole = folder / f".part-{version}"
    tf.saved_model.save(model, str(whole), signatures=signatures)
    whole.rename(path)
    return path
