"""The part of a feature that only the log has, such as the position: a shallow tower, added to the logit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from trainer.transform_output.state import TransformState
from trainer.wide_deep.feature_kinds import KINDS_IN_MODEL
from trainer.wide_deep.tables import Table
from transform.errors import InputError
from transform.feature_spec import FeatureSpec
from transform.files.tokens import Tokens, rows_of
from transform.positions import buckets_of

#: Hidden units: a position has one effect, which any number of units can hold.
UNITS = 8


def tower_table(spec: FeatureSpec, vocabulary_sizes: Mapping[str, int]) -> Table | None:
    """Returns the table of the tower's hidden layer, one row per value as in the wide part; None without a tower.

    Args:
      spec: The features.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
    """
    feature = spec.at_serving
    if feature is None or not feature.has_tower:
        return None
    table = KINDS_IN_MODEL[feature.kind].make_wide_table(spec, feature, vocabulary_sizes)
    return dataclasses.replace(table, name=f"tower/{feature.name}", width=UNITS)


def tower_dropout(spec: FeatureSpec) -> float:
    """Returns the share of the training examples in which the tower's output is left out; 0 without a tower."""
    feature = spec.at_serving
    return 0.0 if feature is None or feature.at_serving is None else feature.at_serving.dropout


def fixed_row(spec: FeatureSpec, transform_state: TransformState) -> int | None:
    """Returns the row of the value that the tower's feature has in each signature; None without a tower.

    Args:
      spec: The features.
      transform_state: The vocabularies.

    Raises:
      InputError: If the value is not in the vocabulary, so that nothing was learned of it.
    """
    feature = spec.at_serving
    if feature is None or feature.at_serving is None or feature.at_serving.fixed is None:
        return None
    fixed = feature.at_serving.fixed
    if not isinstance(fixed, str):
        return int(buckets_of(np.array([fixed]), feature.boundaries or ())[0])
    tokens = Tokens.of(transform_state.vocabularies[spec.vocabulary_owner(feature).name])
    (row,) = rows_of(tokens, Tokens.of([fixed.encode()]))
    if row < 0:
        raise InputError(
            f"`at_serving.fixed` of feature `{feature.name}` must be a value that the training examples have often "
            f"enough for its vocabulary. Received: {fixed!r}"
        )
    return int(row)


class Tower(tf.Module):  # type: ignore[misc]
    """A shallow tower: v · relu(E[id] + b), with a row of E for each value of one feature.

    v is 0 at first, so that the tower adds nothing until it has learned: a model that gets a tower later starts with
    the scores that it had.

    Args:
      table: The table of E, whose variable the model makes.
      rows: E, float32 `[rows, UNITS]`.
      fixed_row: The row of the value at serving.
      rate: The share of the training examples in which the output is left out.
    """

    def __init__(self, table: Table, rows: tf.Variable, fixed_row: int, rate: float) -> None:
        super().__init__(name="tower")
        self.table, self._rows, self.fixed_row, self._rate = table, rows, fixed_row, rate
        (self.input,) = table.inputs
        self._bias = tf.Variable(tf.zeros([table.width]), name="tower/bias")
        self._kernel = tf.Variable(tf.zeros([table.width]), name="tower/kernel")

    @property
    def named_variables(self) -> dict[str, tf.Variable]:
        """B and v, float32 `[UNITS]` each, by stable names: `tower/bias` and `tower/kernel`."""
        return {"tower/bias": self._bias, "tower/kernel": self._kernel}

    @property
    def trained(self) -> list[tf.Variable]:
        """The trained variables: E, b and v."""
        return [self._rows, self._bias, self._kernel]

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """The logits, float32 of the shape of `ids`, int64."""
        hidden = tf.nn.relu(tf.gather(self._rows, ids) + self._bias)
        return tf.reduce_sum(hidden * self._kernel, axis=-1)

    def in_training(self, ids: tf.Tensor, step_seed_of: Callable[[str], tf.Tensor]) -> tf.Tensor:
        """The logits of training examples, float32 `[batch]`: 0 in a random share of them, and not scaled in others."""
        draws = tf.random.stateless_uniform(tf.shape(ids), step_seed_of("tower"))
        return tf.where(draws < self._rate, 0.0, self(ids))

    def at_serving(self, like: tf.Tensor) -> tf.Tensor:
        """The fixed value's id, int64, once for each row of a tensor."""
        return tf.fill([tf.shape(like)[0]], tf.constant(self.fixed_row, tf.int64))

    def fixed_logit(self) -> tf.Tensor:
        """The logit of the fixed value, a float32 scalar."""
        return self(tf.constant(self.fixed_row, tf.int64))


def rows_initializer(seed: int) -> tf_keras.initializers.Initializer:
    """The initial E: drawn from N(0, 1), as of each example one row alone is the hidden layer's input."""
    return tf_keras.initializers.RandomNormal(stddev=1.0, seed=seed)
