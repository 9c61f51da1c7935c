"""What each kind of features is in the model, in its test rows and in an explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.wide_deep.tables import InputBlock, RowKeys, Table
from transform.config import settings
from transform.feature import Feature
from transform.feature_kinds import KindName
from transform.feature_spec import FeatureSpec, transformed_name
from transform.graph.feature_kinds import read_tokens
from transform.graph.sparse_values import single_value

#: The text for no value.
MISSING = "(missing)"

#: Joins the values of a list; of a longer list, this many values are shown.
_LIST_JOINT = ", "
_NUM_LISTED = 8

#: A token that no vocabulary has.
_UNSEEN = b"\x00never seen"

#: The largest number that a tf.Example holds.
_LARGEST = float(np.finfo(np.float32).max)


class KindInModel(NamedTuple):
    """What the trainer makes of the features of a kind.

    Attributes:
      make_wide_table: Makes the wide part's table of a feature, given the spec and the vocabularies' sizes.
      make_block: Makes a feature's block of the deep part's input, given the spec, the model's settings and the widths
        of the embeddings by transformed name.
      make_unusual_values: Makes values that the log may lack, given those of a logged row: none, and two others.
      show: A row's value for a person, string `[rows]`, given the raw values, cleaned, and the feature.
    """

    make_wide_table: Callable[[FeatureSpec, Feature, Mapping[str, int]], Table]
    make_block: Callable[[FeatureSpec, Feature, settings.Model, Mapping[str, int]], InputBlock]
    make_unusual_values: Callable[[tf.train.Feature], tuple[tf.train.Feature, ...]]
    show: Callable[[tf.SparseTensor, Feature], tf.Tensor]


def _make_token_table(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> Table:
    owner = spec.vocabulary_owner(feature).name
    oov_buckets = spec.vocabularies[owner].num_oov_buckets
    keys = RowKeys("vocabulary", owner, oov_buckets, has_missing_row=spec.has_missing_row(owner))
    rows = vocabulary_sizes[owner] + oov_buckets
    return Table(f"wide/{feature.name}", rows, keys, (transformed_name(feature.name),))


def _make_quantile_table(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> Table:
    assert feature.num_buckets is not None  # ensured by the spec's validation
    keys = RowKeys("quantiles", features=(feature.name,), quantiles={feature.name: feature.num_buckets})
    return Table(f"wide/{feature.name}", feature.num_buckets + 1, keys, (transformed_name(feature.bucket_name),))


def _make_embedding_block(
    spec: FeatureSpec, feature: Feature, model: settings.Model, widths: Mapping[str, int]
) -> InputBlock:
    width, owner = widths[transformed_name(feature.name)], spec.vocabulary_owner(feature).name
    return InputBlock(feature.name, width, owner, model.list_combiner if feature.is_list else None)


def _texts(*values: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _numbers(*values: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _show_list(raw: tf.SparseTensor, feature: Feature) -> tf.Tensor:
    """The first values of each row, joined, and how many more there are."""
    rows = tf.RaggedTensor.from_sparse(raw)
    text = tf.strings.reduce_join(rows[:, :_NUM_LISTED], axis=-1, separator=_LIST_JOINT)
    others = tf.maximum(rows.row_lengths() - _NUM_LISTED, 0)
    more = tf.where(others > 0, tf.strings.join([" and ", tf.strings.as_string(others), " more"]), "")
    return tf.where(rows.row_lengths() > 0, tf.strings.join([text, more]), MISSING)


def _show_number(raw: tf.SparseTensor, feature: Feature) -> tf.Tensor:
    number = single_value(raw, float("nan"))
    return tf.where(tf.math.is_nan(number), MISSING, tf.strings.as_string(number, shortest=True))


KINDS_IN_MODEL: Mapping[KindName, KindInModel] = {
    "categorical": KindInModel(
        _make_token_table,
        _make_embedding_block,
        lambda logged: (_texts(), _texts(_UNSEEN), _texts(b"")),
        lambda raw, feature: read_tokens(raw, {}, feature, MISSING),
    ),
    "categorical_list": KindInModel(
        _make_token_table,
        _make_embedding_block,
        lambda logged: (_texts(), _texts(_UNSEEN), _texts(*logged.bytes_list.value, _UNSEEN, *logged.bytes_list.value)),
        _show_list,
    ),
    "numeric": KindInModel(
        _make_quantile_table,
        lambda spec, feature, model, widths: InputBlock(feature.name, 2, None, None, feature.scale),
        lambda logged: (_numbers(), _numbers(_LARGEST), _numbers(-_LARGEST)),
        _show_number,
    ),
}
