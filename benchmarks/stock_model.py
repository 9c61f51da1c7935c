"""The reference: `tf_keras.experimental.WideDeepModel` with stock optimizers, on the same features and batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from trainer.training_size import sized_value
from trainer.wide_deep.model import WideDeep, numeric_columns
from transform.config import settings
from transform.feature_spec import transformed_name


class StockModel:
    """A typical Keras model for the same features: a linear model of one-hot ids, and an MLP.

    Args:
      model: The model whose architecture it copies.
      training: The learning rates, the initial accumulators and the L1 strength λ1, as `sized` returns them.
    """

    def __init__(self, model: WideDeep, training: settings.Training) -> None:
        self._wide_rows = {name: table.rows for table in model.wide_tables for name in table.inputs}
        self._embedded_names = [
            transformed_name(block.feature) for block in model.layout if block.vocabulary is not None
        ]
        self._scales = {transformed_name(b.feature): b.scale for b in model.layout if b.vocabulary is None}
        linear = tf_keras.experimental.LinearModel()
        self.model = tf_keras.experimental.WideDeepModel(linear, _mlp(model))
        wide, deep = training.wide_optimizer, training.deep_optimizer
        self.model.compile(
            optimizer=[
                tf_keras.optimizers.Ftrl(
                    wide.learning_rate,
                    initial_accumulator_value=sized_value(
                        wide.initial_accumulator, "wide_optimizer.initial_accumulator"
                    ),
                    l1_regularization_strength=wide.l1,
                ),
                tf_keras.optimizers.Adagrad(deep.learning_rate, initial_accumulator_value=deep.initial_accumulator),
            ],
            loss=tf_keras.losses.BinaryCrossentropy(from_logits=True),
        )

    def inputs(self, features: Mapping[str, Any], labels: tf.Tensor, weights: tf.Tensor) -> Any:
        """Converts a batch of `trainer.training.data` into the model's inputs: SparseTensors, and the MLP's columns."""
        wide = {name: _one_hot(features[name], rows) for name, rows in self._wide_rows.items()}
        deep = {name: features[name][:, tf.newaxis] for name in self._embedded_names}
        deep |= {name: numeric_columns(features[name], scale) for name, scale in self._scales.items()}
        return (wide, deep), labels[:, tf.newaxis], weights

    def fit(self, batches: tf.data.Dataset) -> Clock:
        """Trains on all batches of `trainer.training.data`; the clock starts at the end of the first batch."""
        clock = Clock()
        self.model.fit(batches.map(self.inputs), verbose=0, callbacks=[clock])
        return clock


class Clock(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Wall-clock and processor seconds from the end of an epoch's first batch to its end."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 0:
            self.started = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.started[0]
        self.processor_seconds = time.process_time() - self.started[1]


def _one_hot(ids: tf.Tensor | tf.SparseTensor, rows: int) -> tf.SparseTensor:
    """Returns ids as a float32 SparseTensor of ones, `[batch, rows]`."""
    if isinstance(ids, tf.SparseTensor):
        examples, values, batch_size = ids.indices[:, 0], ids.values, ids.dense_shape[0]
    else:
        batch_size = tf.size(ids, tf.int64)
        examples, values = tf.range(batch_size), ids
    indices = tf.stack([examples, values], axis=1)
    return tf.SparseTensor(indices, tf.ones_like(values, tf.float32), tf.stack([batch_size, rows]))


def _mlp(model: WideDeep) -> tf_keras.Model:
    """Builds the deep part with Keras's functional API."""
    rows = {name: (table.rows, table.width) for table in model.embedding_tables for name in table.inputs}
    inputs, columns = {}, []
    for block in model.layout:
        name = transformed_name(block.feature)
        if block.vocabulary is None:
            inputs[name] = tf_keras.Input((2,), dtype=tf.float32, name=name)
            columns.append(inputs[name])
        else:
            inputs[name] = tf_keras.Input((1,), dtype=tf.int64, name=name)
            embedded = tf_keras.layers.Embedding(*rows[name])(inputs[name])
            columns.append(tf_keras.layers.Flatten()(embedded))
    hidden = tf_keras.layers.Concatenate()(columns)
    for units in model.settings.hidden_units:
        hidden = tf_keras.layers.Dense(units, activation=model.settings.activation)(hidden)
    return tf_keras.Model(inputs, tf_keras.layers.Dense(1, use_bias=False)(hidden))
