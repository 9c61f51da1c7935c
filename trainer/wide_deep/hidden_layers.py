"""The deep part after its input: the hidden layers and a last layer of one unit (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from transform.config import settings

_INITIALIZERS = {"relu": "HeUniform", "elu": "HeUniform", "gelu": "HeUniform", "swish": "HeUniform"} | {
    "selu": "LecunNormal",
    "tanh": "GlorotUniform",
}


class HiddenLayers(tf.Module):  # type: ignore[misc]
    """A multilayer perceptron: a^(l+1) = dropout(f(norm(W^(l) a^(l) + b^(l)))), and a last layer without f and b.

    `norm` is batch normalization if the settings enable it, else the identity. With `compute_dtype: bfloat16`, training
    rounds the factors of the matrix products W^(l) a^(l), and of their gradients, to bfloat16; all else is float32.

    Args:
      width: The input's width.
      model: The hidden layers' widths, activation, normalization and dropout.
      seed_of: Returns the seed for a random draw, by the draw's name.
      step_seed_of: Returns the seed, int32 `[2]`, for a random draw in the current step, by the draw's name.
    """

    def __init__(
        self, width: int, model: settings.Model, seed_of: Callable[[str], int], step_seed_of: Callable[[str], tf.Tensor]
    ) -> None:
        super().__init__(name="hidden_layers")
        self._dropout, self._compute_dtype, self._step_seed_of = model.dropout, model.compute_dtype, step_seed_of
        self._activation = tf_keras.activations.get(model.activation)
        self._dense: list[tf_keras.layers.Dense] = []
        self._norm: list[tf_keras.layers.BatchNormalization] = []
        for i, units in enumerate(model.hidden_units):
            self._add_dense(i, width, units, _INITIALIZERS[model.activation], True, seed_of)
            if model.batch_norm:
                norm = tf_keras.layers.BatchNormalization(name=f"norm_{i}")
                norm.build((None, units))
                self._norm.append(norm)
            width = units
        self._add_dense(len(model.hidden_units), width, 1, "GlorotUniform", False, seed_of)

    def _add_dense(
        self, i: int, width: int, units: int, initializer: str, use_bias: bool, seed_of: Callable[[str], int]
    ) -> None:
        name = f"dense_{i}"
        kernel = getattr(tf_keras.initializers, initializer)(seed=seed_of(name))
        layer = tf_keras.layers.Dense(units, use_bias=use_bias, kernel_initializer=kernel, name=name)
        layer.build((None, width))
        self._dense.append(layer)

    @property
    def named_variables(self) -> dict[str, tf.Variable]:
        """By stable names: `dense_<i>/kernel`, `dense_<i>/bias`, `norm_<i>/gamma`, `beta` and the moving averages."""
        variables = {}
        for i, layer in enumerate(self._dense):
            variables[f"dense_{i}/kernel"] = layer.kernel
            if layer.use_bias:
                variables[f"dense_{i}/bias"] = layer.bias
            if i < len(self._norm):
                norm = self._norm[i]
                variables |= {f"norm_{i}/gamma": norm.gamma, f"norm_{i}/beta": norm.beta}
                variables |= {
                    f"norm_{i}/moving_mean": norm.moving_mean,
                    f"norm_{i}/moving_variance": norm.moving_variance,
                }
        return variables

    def __call__(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        """The logit, float32 `[batch]`, from float32 `[batch, width]`; with `training`, units are dropped."""
        return self._after_first_sum(self._sum(0, inputs, training), training)

    def after_first_sum(self, first_sum: tf.Tensor) -> tf.Tensor:
        """The logit, float32 `[batch]`, from the first layer's W^(0) a^(0) + b^(0), float32 `[batch, units]`."""
        return self._after_first_sum(first_sum, training=False)

    def _sum(self, i: int, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        dense, factors = self._dense[i], self._compute_dtype if training else tf.float32
        product = tf.matmul(tf.cast(inputs, factors), tf.cast(dense.kernel, factors))
        return tf.nn.bias_add(tf.cast(product, tf.float32), dense.bias)

    def _after_first_sum(self, hidden: tf.Tensor, training: bool) -> tf.Tensor:
        for i in range(len(self._dense) - 1):
            if i > 0:
                hidden = self._sum(i, hidden, training)
            if self._norm:
                hidden = self._norm[i](hidden, training=training)
            hidden = self._activation(hidden)
            if training and self._dropout:
                seed = self._step_seed_of(f"dropout_{i}")
                hidden = tf.nn.experimental.stateless_dropout(hidden, self._dropout, seed, rng_alg="philox")
        return tf.squeeze(self._dense[-1](hidden), axis=1)
