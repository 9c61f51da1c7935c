"""The ranking signatures: the context as one tf.Example, or as one tensor per feature."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf

from trainer.rank_export.rows import check_rows
from transform.feature import Feature, Side
from transform.feature_spec import FeatureSpec
from transform.graph.sparse_values import from_dense
from transform.signature_names import (
    CONTEXT_INPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_NAMED_SIGNATURE,
    RANK_SIGNATURE,
)

#: Takes the contexts' raw features, the item ids, and the items' tf.Examples, empty for the catalog's.
Rank = Callable[[Mapping[str, tf.SparseTensor], tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def select_parsing(parsing: Mapping[str, Any], spec: FeatureSpec, side: Side) -> dict[str, Any]:
    """How tf.Examples of one side's features are parsed; `parsing` is for the features that requests of both have."""
    return {f.name: parsing[f.name] for f in spec.features if f.side == side and f.at_serving is None}


def ranking_signatures(
    rank: Rank, spec: FeatureSpec, parsing: Mapping[str, Any], absent: Collection[str]
) -> dict[str, Any]:
    """Returns the tf.functions by signature; `transform.signature_names` documents each one's inputs.

    Args:
      rank: Computes their outputs.
      spec: The features.
      parsing: How a request's tf.Examples are parsed, by feature.
      absent: The names of the signatures to leave out.
    """
    context_parsing = select_parsing(parsing, spec, "context")
    context = tf.TensorSpec([None], tf.string, name=CONTEXT_INPUT)
    item_ids = tf.TensorSpec([None, None], tf.string, name=ITEM_IDS)
    items = tf.TensorSpec([None, None], tf.string, name=ITEMS_INPUT)
    named = [f for f in spec.features if f.side == "context"]
    raw_context = {f.name: tf.SparseTensorSpec([None, None], context_parsing[f.name].dtype) for f in named}
    # One function for all signatures, so that its graph is in the model once.
    ranked = tf.function(rank, input_signature=[raw_context, item_ids, items], autograph=False)

    def by_example(context: tf.Tensor, item_ids: tf.Tensor, items: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        ids = check_rows(item_ids, tf.size(context), items)
        outputs: dict[str, tf.Tensor] = ranked(
            tf.io.parse_example(context, context_parsing), ids, _nothing(ids) if items is None else items
        )
        return outputs

    def by_name(item_ids: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = {f.name: _present(f, v) for f, v in zip(named, values, strict=True)}
        ids = check_rows(item_ids, tf.stack([tf.shape(v)[0] for v in values]))
        outputs: dict[str, tf.Tensor] = ranked(raw, ids, _nothing(ids))
        return outputs

    def function(compute: Callable[..., Any], *inputs: tf.TensorSpec) -> Any:
        return tf.function(compute, input_signature=inputs, autograph=False)

    functions = {
        RANK_SIGNATURE: function(by_example, context, item_ids),
        RANK_ITEMS_SIGNATURE: function(by_example, context, item_ids, items),
        RANK_NAMED_SIGNATURE: function(by_name, item_ids, *map(_make_spec, named)),
    }
    return {name: function for name, function in functions.items() if name not in absent}


def _make_spec(feature: Feature) -> tf.TensorSpec:
    shape = [None, None] if feature.is_list else [None]
    return tf.TensorSpec(shape, tf.string if feature.of_kind.holds == "text" else tf.float32, name=feature.name)


def _nothing(item_ids: tf.Tensor) -> tf.Tensor:
    """Items' tf.Examples that are all empty, string of the ids' shape."""
    return tf.fill(tf.shape(item_ids), "")


def _present(feature: Feature, values: tf.Tensor) -> tf.SparseTensor:
    """A feature's values as parsed from a tf.Example, `[requests, any]`."""
    rows = values if feature.is_list else tf.expand_dims(values, 1)
    is_present = rows != "" if rows.dtype == tf.string else ~tf.math.is_nan(rows)
    return from_dense(rows, is_present)
