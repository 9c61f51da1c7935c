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
from trainer.rank_export.pairs import make_cross_lookups
from trainer.rank_export.ranker import Ranker
from trainer.rank_export.signatures import ranking_signatures, select_parsing
from trainer.transform_output.graph import apply_transform, load_transform
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tables import Table
from transform.config.component_settings import DataSettings
from transform.example_keys import FOLD, NO_FOLD, NO_SPAN, SPAN
from transform.graph.raw_values import clean, raw_rules
from transform.ranking import absent_signatures
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
_KNOWN_WHEN = {SPAN: tf.io.FixedLenFeature([], tf.int64, NO_SPAN), FOLD: tf.io.FixedLenFeature([], tf.int64, NO_FOLD)}

#: The suffixes of a sparse feature's name in `TRANSFORM_SIGNATURE`'s output, for its three components.
SPARSE_COMPONENTS = ("indices", "values", "dense_shape")


def _logged_feature_spec(config: DataSettings) -> dict[str, Any]:
    """How the features of a logged example are parsed that no request has: those of `_KNOWN_WHEN`, and the tower's."""
    feature = config.spec.at_serving
    if feature is None or not feature.has_tower:
        return _KNOWN_WHEN
    dtype = tf.string if feature.of_kind.holds == "text" else tf.float32
    return _KNOWN_WHEN | {feature.name: tf.io.VarLenFeature(dtype)}


def serving_feature_spec(config: DataSettings) -> dict[str, Any]:
    """How a request's tf.Examples are parsed: features only, without the label and bookkeeping fields."""
    schema = raw_schema(config)
    served = {f.name for f in schema.feature if SERVING not in f.not_in_environment}
    parsing = schema_utils.schema_as_feature_spec(schema).feature_spec
    return {name: how for name, how in parsing.items() if name in served}


class _RowScorer:
    """Scores whole rows: the functions that the signatures call, which close over the Keras model.

    Args:
      model: The trained model.
      wide: The wide tables without their zero rows, by name.
      transform_fn: tf.Transform's saved function.
      counts: The tables from which the counts' inputs are read, as of the last span; None without counts.
      config: The deployment.
    """

    def __init__(
        self,
        model: WideDeep,
        wide: Mapping[str, PrunedTable],
        transform_fn: Any,
        counts: CountTables | None,
        config: DataSettings,
    ) -> None:
        self._model, self._wide, self._transform_fn, self._counts = model, wide, transform_fn, counts
        self._spec, self._rules = config.spec, raw_rules(config)
        self._parsing = serving_feature_spec(config) | _logged_feature_spec(config)

    def weights_of(self, table: Table, rows: tf.Tensor) -> tf.Tensor:
        """The weights of a wide table's rows."""
        return self._wide[table.name](rows)

    def cleaned(self, raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Raw features, cleaned, and the transformed ones."""
        raw = clean(raw, self._rules)
        return raw, self._transform(raw)

    def signatures(self) -> dict[str, Any]:
        """The signatures that score and transform rows, by name."""
        examples = tf.TensorSpec([None], tf.string, name=EXAMPLES_INPUT)
        inputs = tf.TensorSpec([None], tf.string, name=INPUTS)

        def compute_scores(examples: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(self._model.logits(self._transformed(examples), self.weights_of))

        # One function for three signatures, so that its graph is in the model once.
        scores = _function(compute_scores, examples)

        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            positive = scores(inputs)
            classes = tf.tile(tf.constant([["0", "1"]]), [tf.size(positive), 1])
            return {CLASSES_OUTPUT: classes, SCORES_OUTPUT: tf.stack([1 - positive, positive], axis=1)}

        return {
            SERVING_SIGNATURE: _function(lambda examples: {SCORES_OUTPUT: scores(examples)}, examples),
            CLASSIFY_SIGNATURE: _function(classify, inputs),
            REGRESS_SIGNATURE: _function(lambda inputs: {REGRESSION_OUTPUT: scores(inputs)}, inputs),
            TRANSFORM_SIGNATURE: _function(lambda examples: _as_dense(self._transformed(examples)), examples),
        }

    def _transformed(self, examples: tf.Tensor) -> dict[str, Any]:
        return self._transform(tf.io.parse_example(examples, self._parsing))

    def _transform(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        known_when = {name: value for name, value in raw.items() if name in _KNOWN_WHEN}
        given = {name: value for name, value in raw.items() if name not in _KNOWN_WHEN}
        features = apply_transform(self._transform_fn, bounded_lists(given, self._spec))
        if self._counts is not None:
            features = self._counts.features(features | known_when)
        return self._with_fixed_value(features, raw)

    def _with_fixed_value(self, features: dict[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
        """Fixes the value that only the log has in all rows but logged ones: these have a span, as requests do not."""
        tower = self._model.tower
        if tower is None:
            return features
        served = self._model.as_served(features)
        if self._spec.at_serving is None or self._spec.at_serving.name not in raw:  # of an explanation
            return dict(served)
        logged = tf.where(raw[SPAN] != NO_SPAN, features[tower.input], served[tower.input])
        return {**features, tower.input: logged}


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
      catalog_digest: The digest of the catalog's snapshot; empty without one.
    """

    def __init__(
        self,
        model: WideDeep,
        tft_output: tft.TFTransformOutput,
        config: DataSettings,
        items: Mapping[bytes, bytes],
        counts: CountTables | None,
        transform_state: TransformState | None,
        catalog_digest: str = "",
    ) -> None:
        super().__init__(name="wide_deep")
        # Only the module's attributes are exported, so what holds the Keras model is none of them.
        self.model_variables = [model.bias, *model.deep_variables, *model.tower_variables, *model.moving_variables]
        wide = {t.name: PrunedTable(t.name, model.table_weights[t.name].numpy()) for t in model.wide_tables}
        self.wide_tables = list(wide.values())
        self.transform = load_transform(tft_output)
        self.counts = None if counts is None else counts.make_last_span_tables()
        scorer = _RowScorer(model, wide, self.transform.transform_fn, self.counts, config)
        parsing, spec, absent = serving_feature_spec(config), config.spec, absent_signatures(config)
        functions, raw_items = scorer.signatures(), None
        if RANK_ITEMS_SIGNATURE not in absent:
            item_id = config.item_id
            assert item_id is not None  # without it all of them are absent
            weights_of, transform_fn = scorer.weights_of, self.transform.transform_fn
            pairs = make_cross_lookups(spec, model, weights_of, tft_output)
            encoders = Encoders(spec, model, weights_of, transform_fn, raw_rules(config), pairs, self.counts)
            item_parsing, has_catalog = select_parsing(parsing, spec, "item"), RANK_SIGNATURE not in absent
            ranker = Ranker(
                model,
                encoders,
                item_id,
                item_parsing,
                items,
                has_catalog=has_catalog,
                catalog_digest=catalog_digest,
            )
            self.ranker = tf.Module(name="ranker")
            self.ranker.resources = ranker.resources
            functions |= ranking_signatures(ranker.rank, spec, parsing, absent)
            raw_items = ranker.raw_items
        if transform_state is not None:
            explainer = Explainer(model, scorer.weights_of, Readable(spec, transform_state), scorer.cleaned)
            context_parsing = select_parsing(parsing, spec, "context")
            functions |= explaining_signatures(explainer, parsing, _KNOWN_WHEN, context_parsing, raw_items)
        self.functions = functions


def export_model(
    model: WideDeep,
    tft_output: tft.TFTransformOutput,
    config: DataSettings,
    directory: str,
    items: Mapping[bytes, bytes] = MappingProxyType({}),
    counts: CountTables | None = None,
    transform_state: TransformState | None = None,
    catalog_digest: str = "",
) -> list[str]:
    """Writes the SavedModel, and returns the names of its signatures, sorted.

    Args:
      model: The trained model.
      tft_output: What tf.Transform learned.
      config: The deployment.
      directory: The destination, on any filesystem that TensorFlow supports.
      items: The catalog: serialized tf.Examples of item features, by item id, as `read_items` returns it.
      counts: The tables from which the counts' inputs are read; None without counts.
      transform_state: The vocabularies and boundaries of `tft_output`; None leaves out the signatures that explain.
      catalog_digest: The digest of the catalog's snapshot, as `digest_of` returns it; empty without one.
    """
    module = ServingModule(model, tft_output, config, items, counts, transform_state, catalog_digest)
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
