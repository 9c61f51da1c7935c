"""The Wide & Deep model (Cheng et al., 2016, section 3): one logit = wide logit + deep logit + bias."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
import tf_keras

from trainer.tables import Table, deep_layout, embedding_tables, wide_tables
from transform import settings
from transform.feature_spec import Feature, FeatureSpec, transformed_name

#: Features by transformed name, as `transform.preprocessing.preprocessing_fn` makes them.
Features = Mapping[str, tf.Tensor | tf.SparseTensor]

_HIDDEN_INITIALIZERS = {"relu": "HeUniform", "elu": "HeUniform", "gelu": "HeUniform", "swish": "HeUniform"} | {
    "selu": "LecunNormal",
    "tanh": "GlorotUniform",
}


class Optimizers(Protocol):
    """What `WideDeep.train_step` needs of the optimizers."""

    @property
    def variables(self) -> list[tf.Variable]: ...

    def apply(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices | None]) -> None: ...


class WideDeep(tf_keras.Model):  # type: ignore[misc]
    """Wide & Deep: `logit = Σ wide weights + MLP([embeddings, numeric features]) + bias`.

    The wide part is a generalized linear model: one weight per row of each wide feature and cross, zero at first.
    The deep part looks embeddings up, combines each list's into one (`list_combiner`; an empty list gives zeros),
    concatenates them with the numeric features in the spec's order and feeds hidden layers and a last layer of one
    unit without bias. Features that share a vocabulary share one embedding table and one gather.

    Args:
      spec: The features and crosses.
      model: The architecture.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
      seed: Of the initial weights and of dropout.
    """

    def __init__(
        self, spec: FeatureSpec, model: settings.Model, vocabulary_sizes: Mapping[str, int], seed: int = 1
    ) -> None:
        super().__init__(name="wide_deep")
        has_wide, has_deep = model.parts != "deep", model.parts != "wide"
        self.wide_tables = wide_tables(spec, vocabulary_sizes) if has_wide else ()
        self.embedding_tables = embedding_tables(spec, vocabulary_sizes) if has_deep else ()
        self.deep_features: tuple[Feature, ...] = spec.of_part("deep") if has_deep else ()
        self.layout = deep_layout(spec, model) if has_deep else ()
        self.settings = model
        self._seed = seed
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")
        self.table_weights: dict[str, tf.Variable] = {}
        for table in self.wide_tables:
            self.table_weights[table.name] = self.add_weight(name=table.name, shape=(table.rows,), initializer="zeros")
        for table in self.embedding_tables:
            self.table_weights[table.name] = self.add_weight(
                name=table.name,
                shape=(table.rows, model.embedding_dim),
                initializer=tf_keras.initializers.RandomNormal(
                    stddev=model.embedding_dim**-0.5, seed=self._seed_of(table.name)
                ),
            )
        self.dense_layers: list[tf_keras.layers.Dense] = []
        self.dropout_layers: list[tf_keras.layers.Dropout] = []
        if has_deep:
            self._add_hidden_layers(sum(block.width for block in self.layout))
        self.built = True
        self.optimizers: Optimizers | None = None
        self._loss_tracker = tf_keras.metrics.Mean(name="loss")

    def _seed_of(self, name: str) -> int:
        return zlib.crc32(f"{self._seed}/{name}".encode()) % 2**31

    def _add_hidden_layers(self, width: int) -> None:
        activation = self.settings.activation
        for i, units in enumerate((*self.settings.hidden_units, None)):
            name = f"dense_{i}"
            kind = "GlorotUniform" if units is None else _HIDDEN_INITIALIZERS[activation]
            layer = tf_keras.layers.Dense(
                units=units or 1,
                activation=None if units is None else activation,
                use_bias=units is not None,
                kernel_initializer=getattr(tf_keras.initializers, kind)(seed=self._seed_of(name)),
                name=name,
            )
            layer.build((None, width))
            self.dense_layers.append(layer)
            if units is not None:
                dropout = tf_keras.layers.Dropout(self.settings.dropout, seed=self._seed_of(f"dropout_{i}"))
                self.dropout_layers.append(dropout)
                width = units

    @property
    def wide_variables(self) -> list[tf.Variable]:
        """The wide part's tables, without the bias."""
        return [self.table_weights[table.name] for table in self.wide_tables]

    @property
    def deep_variables(self) -> list[tf.Variable]:
        """The embedding tables and the dense layers' kernels and biases."""
        tables = [self.table_weights[table.name] for table in self.embedding_tables]
        return tables + [variable for layer in self.dense_layers for variable in layer.weights]

    @property
    def dense_variables(self) -> dict[str, tf.Variable]:
        """The variables that are not tables, by stable names: `bias`, `dense_<i>/kernel` and `dense_<i>/bias`."""
        variables = {"bias": self.bias}
        for i, layer in enumerate(self.dense_layers):
            variables[f"dense_{i}/kernel"] = layer.kernel
            if layer.use_bias:
                variables[f"dense_{i}/bias"] = layer.bias
        return variables

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The transformed names of the features the model reads."""
        names = [name for table in (*self.wide_tables, *self.embedding_tables) for name in table.inputs]
        names += [transformed_name(f.name) for f in self.deep_features if f.is_numeric]
        return tuple(dict.fromkeys(names))

    def wide_logits(self, features: Features) -> tf.Tensor:
        """Sums the weights of the rows that each example names.

        Args:
          features: By transformed name: ids, int64 `[batch]`, or an int64 SparseTensor `[batch, any]`.

        Returns:
          float32 `[batch]`; zeros if the model has no wide part.
        """
        batch_size = _batch_size(features)
        total = tf.zeros([batch_size])
        for table in self.wide_tables:
            (name,) = table.inputs
            ids = features[name]
            weights = tf.gather(self.table_weights[table.name], _flat(ids))
            if isinstance(ids, tf.SparseTensor):
                weights = tf.math.unsorted_segment_sum(weights, ids.indices[:, 0], batch_size)
            total += weights
        return total

    def deep_logits(self, features: Features, training: bool = False) -> tf.Tensor:
        """The deep part's logit; arguments as in `wide_logits`, numeric features float32 `[batch]`.

        Args:
          features: By transformed name.
          training: Whether to drop units.

        Returns:
          float32 `[batch]`; zeros if the model has no deep part.
        """
        batch_size = _batch_size(features)
        if not self.dense_layers:
            return tf.zeros([batch_size])
        embedded: dict[str, tf.Tensor] = {}
        for table in self.embedding_tables:
            embedded |= self._embed(table, features, batch_size)
        columns = []
        for feature in self.deep_features:
            name = transformed_name(feature.name)
            columns.append(features[name][:, tf.newaxis] if feature.is_numeric else embedded[name])
        hidden = tf.concat(columns, axis=1)
        for layer, dropout in zip(self.dense_layers, self.dropout_layers, strict=False):  # none behind the last layer
            hidden = dropout(layer(hidden), training=training)
        return tf.squeeze(self.dense_layers[-1](hidden), axis=1)

    def _embed(self, table: Table, features: Features, batch_size: tf.Tensor) -> dict[str, tf.Tensor]:
        """The embedding of each feature that uses a table, float32 `[batch, embedding_dim]`, from one gather."""
        flat = [_flat(features[name]) for name in table.inputs]
        gathered = tf.gather(self.table_weights[table.name], tf.concat(flat, axis=0) if len(flat) > 1 else flat[0])
        parts = tf.split(gathered, [tf.size(ids) for ids in flat]) if len(flat) > 1 else [gathered]
        combine = {
            "mean": tf.math.unsorted_segment_mean,
            "sum": tf.math.unsorted_segment_sum,
            "sqrtn": tf.math.unsorted_segment_sqrt_n,
        }[self.settings.list_combiner]
        embedded = {}
        for name, part in zip(table.inputs, parts, strict=True):
            ids = features[name]
            embedded[name] = combine(part, ids.indices[:, 0], batch_size) if isinstance(ids, tf.SparseTensor) else part
        return embedded

    def logits(self, features: Features, training: bool = False) -> tf.Tensor:
        """Wide logit + deep logit + bias, float32 `[batch]`; arguments as in `deep_logits`."""
        total = tf.fill([_batch_size(features)], self.bias)
        if self.wide_tables:
            total += self.wide_logits(features)
        if self.dense_layers:
            total += self.deep_logits(features, training)
        return total

    def call(self, inputs: Features, training: bool | None = None) -> tf.Tensor:
        """The logits, float32 `[batch]`."""
        return self.logits(inputs, bool(training))

    def compile(self, optimizers: Optimizers) -> None:
        """Sets the optimizers that `fit` applies."""
        super().compile()  # Keras's own optimizer is never used: `train_step` is overridden
        self.optimizers = optimizers

    def train_step(self, data: tuple[Features, tf.Tensor]) -> dict[str, Any]:
        """One step of joint training: one mini-batch, one loss (the mean logistic loss), both parts updated."""
        features, labels = data
        if self.optimizers is None:
            raise RuntimeError("`compile` must be called with the optimizers before training")
        with tf.GradientTape() as tape:
            logits = self.logits(features, training=True)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        self.optimizers.apply(tape.gradient(loss, self.optimizers.variables))
        self._loss_tracker.update_state(losses)
        return {"loss": self._loss_tracker.result()}

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """What `fit` resets at each epoch's start."""
        return [self._loss_tracker]


def _flat(ids: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return ids.values if isinstance(ids, tf.SparseTensor) else ids


def _batch_size(features: Features) -> tf.Tensor:
    """The batch's size, an int32 scalar, of any one feature."""
    feature = next(iter(features.values()))
    if isinstance(feature, tf.SparseTensor):
        return tf.cast(feature.dense_shape[0], tf.int32)
    return tf.shape(feature)[0]
