"""What each kind of features becomes in a TensorFlow graph, the same in Transform and in the exported model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from transform.feature import MAX_STANDARDIZED, MISSING_QUANTILE, MISSING_STANDARDIZED, MISSING_TOKEN, Feature
from transform.feature_kinds import KindName
from transform.feature_spec import transformed_name
from transform.graph.derived_times import with_derived
from transform.graph.sparse_values import single_value

#: Numbers whose deviation is below this share of their mean are all the same: what is left is rounding, since 32-bit
#: numbers that differ do so by 6e-8 of themselves or more, and a mean of 64-bit numbers is exact to 1e-12.
_NO_DEVIATION = 1e-9


class KindInGraph(NamedTuple):
    """What the features of a kind become.

    Attributes:
      compute_outputs: Computes tf.Transform's outputs, by transformed name, besides the ids of vocabularies. Receives
        the raw values, cleaned, the feature, and whether its quantile is needed as an id.
      read_tokens: Reads the tokens that are counted and looked up in vocabularies, and combined in crosses and count
        encodings: string `[batch]`, or a SparseTensor `[batch, any]` for a list. Receives the raw values, the
        transformed ones, which have the quantiles' ids, the feature, and the token for a missing value.
    """

    compute_outputs: Callable[[tf.SparseTensor, Feature, bool], dict[str, tf.Tensor]]
    read_tokens: Callable[[tf.SparseTensor, Mapping[str, Any], Feature, str], tf.Tensor | tf.SparseTensor]


def read_tokens(
    raw: tf.SparseTensor, transformed: Mapping[str, Any], feature: Feature, missing: str = MISSING_TOKEN
) -> tf.Tensor | tf.SparseTensor:
    """A feature's tokens; see `KindInGraph.read_tokens`."""
    return KINDS_IN_GRAPH[feature.kind].read_tokens(raw, transformed, feature, missing)


def _compute_number(raw: tf.SparseTensor, feature: Feature, needs_bucket: bool) -> dict[str, tf.Tensor]:
    outputs = {}
    name = transformed_name(feature.name)
    if needs_bucket or feature.scale == "quantile":
        outputs[name], bucket = _compute_quantile(raw, feature)
        if needs_bucket:
            outputs[transformed_name(feature.bucket_name)] = bucket
    if feature.scale != "quantile":
        outputs[name] = standardized(single_value(raw, float("nan")), feature.name, feature.scale)
    return outputs


def _compute_quantile(values: tf.SparseTensor, feature: Feature) -> tuple[tf.Tensor, tf.Tensor]:
    """The normalized quantile, float32, and the quantile from 0 to n_q - 1, int64.

    A missing value gives `MISSING_QUANTILE` and n_q.
    """
    num_quantiles = feature.num_buckets
    assert num_quantiles is not None  # ensured by the spec's validation
    if feature.boundaries is None:
        epsilon = min(0.01, 0.1 / num_quantiles)
        boundaries = tft.quantiles(values.values, num_quantiles, epsilon=epsilon, name=f"{feature.name}_quantiles")
    else:
        boundaries = tf.constant([feature.boundaries], tf.float32)
    dense = single_value(values, float("nan"))
    missing = tf.math.is_nan(dense)
    bucket = tft.apply_buckets(tf.where(missing, tf.zeros_like(dense), dense), boundaries)
    bucket = tf.where(missing, tf.fill(tf.shape(bucket), tf.constant(num_quantiles, tf.int64)), bucket)
    normalized = tf.cast(bucket, tf.float32) / float(num_quantiles - 1)
    return tf.where(missing, tf.fill(tf.shape(normalized), MISSING_QUANTILE), normalized), bucket


def standardized(number: tf.Tensor, name: str, scale: Literal["standard", "log"]) -> tf.Tensor:
    """Standardizes a number by the mean and the deviation of the rows that tf.Transform analyzes.

    It computes with 64-bit numbers, in which no square of a 32-bit number overflows.

    Args:
      number: float32 `[batch]`; NaN is a missing number.
      name: The feature's name.
      scale: `standard`: of x itself; `log`: of sign(x) · log(1 + |x|).

    Returns:
      float32 `[batch]` in [-`MAX_STANDARDIZED`, `MAX_STANDARDIZED`], 0 for the mean, and 0 for all numbers if the
      analyzed ones are all the same; `MISSING_STANDARDIZED` for a missing number. Missing and infinite numbers count
      neither for the mean nor for the deviation.
    """
    x = tf.cast(number, tf.float64)
    if scale == "log":
        x = tf.sign(x) * tf.math.log1p(tf.abs(x))
    mean = tft.mean(x, name=f"{name}_mean")
    deviation = tf.sqrt(tft.var(x, name=f"{name}_variance"))
    differs = deviation > _NO_DEVIATION * tf.abs(mean)
    z = tf.where(differs, (x - mean) / tf.where(differs, deviation, tf.ones_like(deviation)), tf.zeros_like(x))
    cut = tf.cast(tf.clip_by_value(z, -MAX_STANDARDIZED, MAX_STANDARDIZED), tf.float32)
    return tf.where(tf.math.is_nan(number), tf.fill(tf.shape(cut), MISSING_STANDARDIZED), cut)


KINDS_IN_GRAPH: Mapping[KindName, KindInGraph] = {
    "categorical": KindInGraph(
        lambda raw, feature, needs_bucket: {},
        lambda raw, transformed, feature, missing: single_value(with_derived(raw, feature), missing),
    ),
    "categorical_list": KindInGraph(
        lambda raw, feature, needs_bucket: {}, lambda raw, transformed, feature, missing: raw
    ),
    "numeric": KindInGraph(
        _compute_number,
        lambda raw, transformed, feature, missing: tf.strings.as_string(
            transformed[transformed_name(feature.bucket_name)]
        ),
    ),
}
