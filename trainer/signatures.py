"""Exports a model as a SavedModel that needs TensorFlow alone: serialized raw tf.Examples in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

# tf.Transform 1.21.0 has no public name for it; TFX's examples use this one.
from tensorflow_transform.tf_metadata import schema_utils

from trainer.counts import CountTables
from trainer.explanations.readable import Readable
from trainer.explanations.signatures import Explainer, explaining_signatures
from trainer.pruning import PrunedTable
from trainer.rank_export.encoders import Encoders
from trainer.rank_export.limits import bounded_lists
from trainer.rank_export.pairs import pairs_of
from trainer.rank_export.ranker import Ranker
from trainer.rank_export.signatures import parsing_of, ranking_signatures
from trainer.transform_output.graph import apply_transform, load_transform
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tables import Table
from transform.config.config import Config
from transform.feature_spec import FOLD, NO_FOLD, NO_SPAN, SPAN
from transform.ranking import absent_signatures
from transform.raw_rules import raw_rules
from transform.raw_texts_graph import clean
from transform.schema import SERVING, raw_schema
from transform.signature_names import (
    CLASSES_OUTPUT,
    CLASSIFY_SIGNATURE,
    EXAMPLES_INPUT,
    INPUTS,
    RANK_ITEMS_SIGNATURE,
    RANK_SIGNATURE,
    REGRESS_SIGNATURE,
    REGRESSION_OUTPUT,
    SCORES_OUTPUT,
    SERVING_SIGNATURE,
    TRANSFORM_SIGNATURE,
)

#: The features of a logged example that determine which counts were known before it (`trainer.counts`); a request has
#: neither.
_KNOWN_WHEN = {
    SPAN: tf.io.FixedLenFeature([], tf.int64, NO_SPAN),
    FOLD: tf.io.FixedLenFeature([], tf.int64, NO_FOLD),
}

#: The suffixes of a sparse feature's name in `TRANSFORM_SIGNATURE`'s output, for its three components.
SPARSE_COMPONENTS = ("indices", "values", "dense_shape")


def serving_feature_spec(config: Config) -> dict[str, Any]:
    """How a request's tf.Examples are parsed: features only, without the label and bookkeeping fields."""
    schema = raw_schema(config)
    served = {f.name for f in schema.feature if SERVING not in f.not_in_environment}
    parsing = schema_utils.schema_as_feature_spec(schema).feature_spec
    return {name: how for name, how in parsing.items() if name in served}


class ServingModule(tf.Module):  # type: ignore[misc]
    """The module to export: the signatures' functions, the variables and tf.Transform's graph; nothing of Keras.

    It leaves out the wide tables' zero rows. Everything else, and each score, equals the model's.

    Args:
      model: The trained model.
      tft_output: What tf.Transform learned.
      config: The deployment.
      items: The catalog: serialized tf.Examples of item features, by item id.
      counts: The tables from which the counts' inputs are read; None without counts.
      transform_state: The vocabularies and boundaries of `tft_output`; None leaves out the signatures that explain.
    """

    def __init__(
        self,
        model: WideDeep,
        tft_output: tft.TFTransformOutput,
        config: Config,
        items: Mapping[bytes, bytes],
        counts: CountTables | None,
        transform_state: TransformState | None,
    ) -> None:
        super().__init__(name="wide_deep")
        self.model_variables = [model.bias, *model.deep_variables, *model.moving_variables]
        wide = {t.name: PrunedTable(t.name, model.table_weights[t.name].numpy()) for t in model.wide_tables}
        self.wide_tables = list(wide.values())
        self.transform = load_transform(tft_output)
        self.counts = None if counts is None else counts.of_last_span()
        parsing, spec = serving_feature_spec(config), config.spec

        # The functions close over the Keras model, but only the module's attributes are exported.
        def weights_of(table: Table, rows: tf.Tensor) -> tf.Tensor:
            return wide[table.name](rows)

        def transformed(examples: tf.Tensor) -> dict[str, Any]:
            return of_raw(tf.io.parse_example(examples, parsing | _KNOWN_WHEN))

        def of_raw(raw: Mapping[str, Any]) -> dict[str, Any]:
            known_when = {name: value for name, value in raw.items() if name in _KNOWN_WHEN}
            given = {name: value for name, value in raw.items() if name not in _KNOWN_WHEN}
            features = apply_transform(self.transform.transform_fn, bounded_lists(given, spec))
            return features if self.counts is None else self.counts.features(features | known_when)

        def cleaned(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            raw = clean(raw, rules)
            return raw, of_raw(raw)

        def scores_of(examples: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(model.logits(transformed(examples), weights_of))

        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            positive = scores(inputs)
            classes = tf.tile(tf.constant([["0", "1"]]), [tf.size(positive), 1])
            return {CLASSES_OUTPUT: classes, SCORES_OUTPUT: tf.stack([1 - positive, positive], axis=1)}

        def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return _as_dense(transformed(examples))

        examples = tf.TensorSpec([None], tf.string, name=EXAMPLES_INPUT)
        # One function for three signatures, so that its graph is in the model once.
        scores = _function(scores_of, examples)
        inputs = tf.TensorSpec([None], tf.string, name=INPUTS)
        functions = {
            SERVING_SIGNATURE: _function(lambda examples: {SCORES_OUTPUT: scores(examples)}, examples),
            CLASSIFY_SIGNATURE: _function(classify, inputs),
            REGRESS_SIGNATURE: _function(lambda inputs: {REGRESSION_OUTPUT: scores(inputs)}, inputs),
            TRANSFORM_SIGNATURE: _function(transform_features, examples),
        }
        rules, raw_items = raw_rules(config), None
        absent = absent_signatures(config)
        if RANK_ITEMS_SIGNATURE not in absent:
            identity = config.item_id
            assert identity is not None  # without it all of them are absent
            pairs = pairs_of(spec, model, weights_of, tft_output)
            transform_fn = self.transform.transform_fn
            encoders = Encoders(spec, model, weights_of, transform_fn, rules, pairs, self.counts)
            item_parsing, has_catalog = parsing_of(parsing, spec, "item"), RANK_SIGNATURE not in absent
            self.ranker = Ranker(model, encoders, identity, item_parsing, items, has_catalog=has_catalog)
            functions |= ranking_signatures(self.ranker.rank, spec, parsing, absent)
            raw_items = self.ranker.raw_items
        if transform_state is not None:
            explainer = Explainer(model, weights_of, Readable(spec, transform_state), cleaned)
            context_parsing = parsing_of(parsing, spec, "context")
            functions |= explaining_signatures(explainer, parsing, _KNOWN_WHEN, context_parsing, raw_items)
        self.functions = functions


def export_model(
    model: WideDeep,
    tft_output: tft.TFTransformOutput,
    config: Config,
    directory: str,
    items: Mapping[bytes, bytes] = MappingProxyType({}),
    counts: CountTables | None = None,
    transform_state: TransformState | None = None,
) -> list[str]:
    """Writes the SavedModel.

    Args:
      model: The trained model.
      tft_output: What tf.Transform learned.
      config: The deployment.
      directory: The destination, on any filesystem that TensorFlow supports.
      items: The catalog: serialized tf.Examples of item features, by item id, as `read_items` returns it.
      counts: The tables from which the counts' inputs are read; None without counts.
      transform_state: The vocabularies and boundaries of `tft_output`; None leaves out the signatures that explain.

    Returns:
      The names of its signatures, sorted.
    """
    module = ServingModule(model, tft_output, config, items, counts, transform_state)
    tf.saved_model.save(module, directory, signatures=module.functions)
    # TensorFlow 2 gives all signatures Predict's method name; TF Serving's Classify and Regress require their own.
    methods = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(directory)
    methods.replace_method_name(CLASSIFY_SIGNATURE, tf.compat.v1.saved_model.CLASSIFY_METHOD_NAME)
    methods.replace_method_name(REGRESS_SIGNATURE, tf.compat.v1.saved_model.REGRESS_METHOD_NAME)
    methods.save()
    return sorted(module.functions)


def _function(compute: Callable[[tf.Tensor], Any], examples: tf.TensorSpec) -> Any:
    return tf.function(compute, input_signature=[examples], autograph=False)


def _as_dense(features: dict[str, Any]) -> dict[str, tf.Tensor]:
    outputs: dict[str, tf.Tensor] = {}
    for name, value in features.items():
        if isinstance(value, tf.SparseTensor):
            outputs |= {f"{name}/{part}": getattr(value, part) for part in SPARSE_COMPONENTS}
        else:
            outputs[name] = value
    return outputs
