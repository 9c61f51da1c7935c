"""The part of the logits that depends on the context, on the item, or on both together."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.wide_deep.model import Features, WeightsOf, WideDeep
from trainer.wide_deep.tables import InputBlock
from transform.combinations import COUNT_INPUTS
from transform.feature import Side
from transform.feature_spec import FeatureSpec, transformed_name

#: The sides that a model input depends on.
Sides = frozenset[Side]
CONTEXT: Sides = frozenset({"context"})
ITEM: Sides = frozenset({"item"})
BOTH: Sides = CONTEXT | ITEM


def find_sides(spec: FeatureSpec, features: tuple[str, ...]) -> Sides:
    """The sides of some features."""
    return frozenset(spec.by_name[name].side for name in features)


def input_sides(spec: FeatureSpec) -> dict[str, Sides]:
    """The sides that each model input depends on, by transformed name."""
    sides: dict[str, Sides] = {}
    for feature in spec.features:
        for name in (feature.name, feature.bucket_name):
            sides[transformed_name(name)] = frozenset({feature.side})
    for cross in spec.crosses:
        sides[transformed_name(cross.name)] = find_sides(spec, cross.features)
    for count in spec.count_encodings:
        for which in COUNT_INPUTS:
            sides[transformed_name(count.input_name(which))] = find_sides(spec, count.features)
    return sides


class PartialLogits:
    """The part of the wide logit, and of the first hidden layer's sum, that comes from some of the model's inputs.

    Args:
      model: The trained model.
      weights_of: Looks up the wide tables' weights.
      inputs: The inputs' transformed names.
    """

    def __init__(self, model: WideDeep, weights_of: WeightsOf, inputs: set[str]) -> None:
        self._model, self._weights_of = model, weights_of
        self._tables = [table for table in model.wide_tables if table.inputs[0] in inputs]
        self._blocks: list[InputBlock] = []
        columns: list[int] = []
        start = 0
        for block in model.layout:
            if transformed_name(block.feature) in inputs:
                self._blocks.append(block)
                columns += range(start, start + block.width)
            start += block.width
        #: The first hidden layer's kernel for the inputs' columns, float32 `[columns, units]`; None without columns.
        self.kernel: tf.Variable | None = None
        if model.hidden_layers is not None and columns:
            kernel = model.hidden_layers.named_variables["dense_0/kernel"].numpy()
            self.kernel = tf.Variable(kernel[np.array(columns)], trainable=False, name="ranker/first_layer")

    def wide(self, features: Features) -> tf.Tensor:
        """The inputs' part of the wide logit, float32 `[rows]`."""
        return self._model.wide_logits(features, self._weights_of, self._tables)

    def first_sum(self, features: Features) -> tf.Tensor | None:
        """The inputs' part of the first hidden layer's W a, float32 `[rows, units]`; None without columns."""
        if self.kernel is None:
            return None
        # `pruned` returns tensors of unknown rank, which batch normalization does not accept.
        inputs = tf.ensure_shape(self._model.deep_input(features, self._blocks), [None, self.kernel.shape[0]])
        return tf.matmul(inputs, self.kernel)
