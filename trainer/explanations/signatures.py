"""The signatures that explain: whole rows, or a request's candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from trainer.explanations.deep_part import explain_deep
from trainer.explanations.readable import Readable
from trainer.explanations.wide_part import explain_wide
from trainer.rank_export.rows import check_rows
from trainer.wide_deep.model import WeightsOf, WideDeep, read_batch_size
from transform.signature_names import (
    BIAS_OUTPUT,
    CONTEXT_INPUT,
    DEEP_FEATURES_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    DEEP_VALUES_OUTPUT,
    EXAMPLES_INPUT,
    EXPLAIN_ITEMS_SIGNATURE,
    EXPLAIN_SIGNATURE,
    ITEM_IDS,
    ITEMS_INPUT,
    MAX_EXPLAINED,
    SCORES_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
)

#: Raw features by name, SparseTensors `[rows, any]`, and those of a logged example that are known afterwards.
Raw = Mapping[str, Any]

#: Returns raw features, cleaned, and the transformed ones.
Transform = Callable[[Raw], tuple[Raw, Mapping[str, Any]]]

#: Takes item ids and items' tf.Examples, string `[rows]`; returns the items' raw features.
RawItems = Callable[[tf.Tensor, tf.Tensor], Raw]


class Explainer:
    """Explains rows of raw features.

    Args:
      model: The trained model.
      weights_of: Looks up the wide tables' weights.
      readable: Names the values.
      transform: Transforms raw features.
    """

    def __init__(self, model: WideDeep, weights_of: WeightsOf, readable: Readable, transform: Transform) -> None:
        self._model, self._weights_of, self._readable, self._transform = model, weights_of, readable, transform

    def explain(self, raw: Raw) -> dict[str, tf.Tensor]:
        """The outputs of an explanation, as `transform.signature_names` documents them, of raw features."""
        model = self._model
        raw, features = self._transform(raw)
        num_rows = read_batch_size(features)
        wide = explain_wide(model, self._weights_of, self._readable, raw, features)
        deep = explain_deep(model, features)
        logits = model.offsets(features) + tf.reduce_sum(wide[WIDE_WEIGHTS_OUTPUT], axis=1) + deep[DEEP_LOGITS_OUTPUT]
        blocks = [block.feature for block in model.layout]
        values = [self._readable.format_block(name, raw, features) for name in blocks]
        return {
            **wide,
            **deep,
            SCORES_OUTPUT: tf.sigmoid(logits),
            BIAS_OUTPUT: tf.fill([num_rows], 0.0) + model.offsets(features),
            DEEP_FEATURES_OUTPUT: tf.tile(tf.constant([blocks], tf.string, [1, len(blocks)]), [num_rows, 1]),
            DEEP_VALUES_OUTPUT: tf.stack(values, axis=1) if values else tf.zeros([num_rows, 0], tf.string),
        }


def explaining_signatures(
    explainer: Explainer,
    parsing: Mapping[str, Any],
    known_when: Mapping[str, tf.io.FixedLenFeature],
    context_parsing: Mapping[str, Any],
    raw_items: RawItems | None,
) -> dict[str, Any]:
    """Returns the tf.functions by signature.

    Args:
      explainer: Explains raw features.
      parsing: How tf.Examples of all features are parsed, by feature.
      known_when: How the features of a logged example are parsed that a request does not have.
      context_parsing: How contexts are parsed.
      raw_items: Finds items' raw features; None for a model that ranks nothing, which explains whole rows only.
    """
    specs: dict[str, Any] = {name: tf.SparseTensorSpec([None, None], how.dtype) for name, how in parsing.items()}
    specs |= {name: tf.TensorSpec([None], how.dtype) for name, how in known_when.items()}
    # One function for both signatures, so that its graph is in the model once.
    explain = tf.function(explainer.explain, input_signature=[specs], autograph=False)

    def explain_rows(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = explain(tf.io.parse_example(_few(examples, "rows"), {**parsing, **known_when}))
        return outputs

    def explain_items(context: tf.Tensor, item_ids: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        assert raw_items is not None
        checked = check_rows(item_ids, tf.size(context), items)
        places = tf.where(_few(checked, "candidates") != "")
        ids, examples = (tf.gather_nd(of, places) for of in (item_ids, items))
        raw = {**tf.io.parse_example(tf.gather(context, places[:, 0]), context_parsing), **raw_items(ids, examples)}
        for name, how in known_when.items():
            raw[name] = tf.fill(tf.shape(ids), tf.constant(how.default_value, how.dtype))
        # The row of each candidate; the last row, of empty texts and zeros, is that of an empty id.
        num_rows = tf.size(ids)
        row_of = tf.tensor_scatter_nd_update(tf.fill(tf.shape(item_ids), num_rows), places, tf.range(num_rows))
        outputs = {}
        for name, values in explain(raw).items():
            nothing = tf.zeros(tf.concat([[1], tf.shape(values)[1:]], axis=0), values.dtype)
            outputs[name] = tf.gather(tf.concat([values, nothing], axis=0), row_of)
        return outputs | {ITEM_IDS: item_ids}

    examples, context = (tf.TensorSpec([None], tf.string, name) for name in (EXAMPLES_INPUT, CONTEXT_INPUT))
    item_ids, items = (tf.TensorSpec([None, None], tf.string, name) for name in (ITEM_IDS, ITEMS_INPUT))
    functions = {EXPLAIN_SIGNATURE: tf.function(explain_rows, input_signature=[examples], autograph=False)}
    if raw_items is not None:
        inputs = [context, item_ids, items]
        functions[EXPLAIN_ITEMS_SIGNATURE] = tf.function(explain_items, input_signature=inputs, autograph=False)
    return functions


def _few(values: tf.Tensor, what: str) -> tf.Tensor:
    """The values, under the condition that they are few: an explanation takes a hundred times as long as a score."""
    text = f"a call must explain at most {MAX_EXPLAINED} {what}. Received:"
    number = tf.size(values)
    with tf.control_dependencies([tf.debugging.Assert(number <= MAX_EXPLAINED, [text, number])]):
        return tf.identity(values)
