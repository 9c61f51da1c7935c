"""The features' values as a person reads them, computed in the exported graph: raw texts, and names of ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.explanations.wide_weights import row_names
from trainer.transform_output.state import TransformState
from trainer.wide_deep.feature_kinds import KINDS_IN_MODEL, MISSING
from trainer.wide_deep.tables import RowKeys
from transform.combinations import COUNT_INPUTS, NUM_COUNT_BUCKETS
from transform.feature import Feature
from transform.feature_spec import FeatureSpec, transformed_name
from transform.graph.feature_kinds import read_tokens
from transform.preprocessing import as_column

#: Joins the values of a cross.
CROSS_JOINT = " × "


class Readable:
    """Names the values of a batch of raw rows.

    Args:
      spec: The features.
      transform_state: The quantiles' boundaries.
    """

    def __init__(self, spec: FeatureSpec, transform_state: TransformState) -> None:
        self._spec = spec
        self._names: dict[str, list[str]] = {}
        for feature in spec.features:
            if spec.needs_bucket(feature):
                keys = RowKeys("quantiles", features=(feature.name,))
                number = (feature.num_buckets or 0) + 1
                self._names[transformed_name(feature.bucket_name)] = _names(keys, number, transform_state)
        for count in spec.count_encodings:
            for which in COUNT_INPUTS:
                names = _names(RowKeys(which), NUM_COUNT_BUCKETS + 1, transform_state)
                self._names[transformed_name(count.input_name(which))] = names

    def format_input(
        self, name: str, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, Any]
    ) -> tf.Tensor | tf.SparseTensor:
        """The values of one input of the wide part, in the form of its ids; also of combinations without a weight.

        Args:
          name: The input's transformed name: of a categorical feature, a number's quantile, a count or a cross.
          raw: The raw features, cleaned, SparseTensors `[rows, any]`.
          features: The transformed features.

        Returns:
          string `[rows]`, or a SparseTensor `[rows, any]`.
        """
        if name in self._names:
            return self._named(name, features)
        for cross in self._spec.crosses:
            if transformed_name(cross.name) == name:
                columns = [as_column(self._value(self._spec.by_name[f], raw, features)) for f in cross.features]
                return tf.sparse.cross(columns, separator=CROSS_JOINT)
        (feature,) = (f for f in self._spec.features if transformed_name(f.name) == name)
        return self._value(feature, raw, features)

    def format_block(self, name: str, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, Any]) -> tf.Tensor:
        """The value, string `[rows]`, of a feature or count of the deep part, by its untransformed name."""
        if transformed_name(name) in self._names:
            return self._named(transformed_name(name), features)
        feature = self._spec.by_name[name]
        return KINDS_IN_MODEL[feature.kind].show(raw[name], feature)

    def _value(
        self, feature: Feature, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, Any]
    ) -> tf.Tensor | tf.SparseTensor:
        bucket = transformed_name(feature.bucket_name)
        if bucket in self._names:
            return self._named(bucket, features)
        return read_tokens(raw[feature.name], features, feature, MISSING)

    def _named(self, name: str, features: Mapping[str, Any]) -> tf.Tensor:
        return tf.gather(tf.constant(self._names[name]), features[name])


def _names(keys: RowKeys, number: int, transform_state: TransformState) -> list[str]:
    return [row_names(keys, row, transform_state)[0] for row in range(number)]
