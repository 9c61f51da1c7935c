"""Exports a model as a SavedModel that needs TensorFlow alone: serialized raw tf.Examples in, scores out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils

from trainer.model import WideDeep
from trainer.pruning import PrunedTable
from trainer.transform_graph import apply_transform
from transform.config import Config
from transform.schema import SERVING, raw_schema
from transform.signature_names import EXAMPLES_INPUT, SCORES_OUTPUT, SERVING_SIGNATURE, TRANSFORM_SIGNATURE

#: What stands behind a sparse feature's name in `TRANSFORM_SIGNATURE`'s output, for its three components.
SPARSE_COMPONENTS = ("indices", "values", "dense_shape")


def serving_feature_spec(config: Config) -> dict[str, Any]:
    """How a request's tf.Examples are parsed: the features alone, no label and no bookkeeping."""
    schema = raw_schema(config)
    served = {f.name for f in schema.feature if SERVING not in f.not_in_environment}
    parsing = schema_utils.schema_as_feature_spec(schema).feature_spec
    return {name: how for name, how in parsing.items() if name in served}


class ServingModule(tf.Module):  # type: ignore[misc]
    """What is exported: the signatures' functions, the variables and tf.Transform's graph; nothing of Keras.

    The wide tables' zero rows are left out. All else, and each score, is the model's.

    Args:
      model: The trained model.
      tft_output: What tf.Transform learned.
      config: The deployment.
    """

    def __init__(self, model: WideDeep, tft_output: tft.TFTransformOutput, config: Config) -> None:
        super().__init__(name="wide_deep")
        self.model_variables = [model.bias, *model.deep_variables, *model.moving_variables]
        wide = {t.name: PrunedTable(t.name, model.table_weights[t.name].numpy()) for t in model.wide_tables}
        self.wide_tables = list(wide.values())
        self.transform = tf.saved_model.load(tft_output.transform_savedmodel_dir)
        parsing = serving_feature_spec(config)
        signature = [tf.TensorSpec([None], tf.string, name=EXAMPLES_INPUT)]

        def transformed(examples: tf.Tensor) -> dict[str, Any]:
            return apply_transform(self.transform.transform_fn, tf.io.parse_example(examples, parsing))

        # The functions close over the Keras model, but only what is an attribute of the module is exported.
        def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = model.logits(transformed(examples), lambda table, rows: wide[table.name](rows))
            return {SCORES_OUTPUT: tf.sigmoid(logits)}

        def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            features = transformed(examples)
            for name in config.spec.training_inputs.values():
                del features[name]  # it leaves out a label that a request does not have
            return _as_dense(features)

        self.serve = tf.function(serve, input_signature=signature, autograph=False)
        self.transform_features = tf.function(transform_features, input_signature=signature, autograph=False)


def export_model(model: WideDeep, tft_output: tft.TFTransformOutput, config: Config, directory: str) -> None:
    """Writes the SavedModel.

    Args:
      model: The trained model.
      tft_output: What tf.Transform learned.
      config: The deployment.
      directory: Where to; on any filesystem that TensorFlow knows.
    """
    module = ServingModule(model, tft_output, config)
    signatures = {SERVING_SIGNATURE: module.serve, TRANSFORM_SIGNATURE: module.transform_features}
    tf.saved_model.save(module, directory, signatures=signatures)


def _as_dense(features: dict[str, Any]) -> dict[str, tf.Tensor]:
    outputs: dict[str, tf.Tensor] = {}
    for name, value in features.items():
        if isinstance(value, tf.SparseTensor):
            outputs |= {f"{name}/{part}": getattr(value, part) for part in SPARSE_COMPONENTS}
        else:
            outputs[name] = value
    return outputs
