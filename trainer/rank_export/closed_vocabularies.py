"""Finds the values of a context that are most likely a mistake: those that a small vocabulary lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from trainer.wide_deep.model import WideDeep
from transform.feature import Feature
from transform.feature_spec import FeatureSpec, transformed_name

#: A vocabulary of at most so many tokens is taken for one of a closed set, such as hours, weekdays or countries. A
#: value that a larger one lacks is no sign of a mistake: it may be the id of a new user.
MAX_TOKENS = 256


class ClosedVocabularies:
    """The context's features of one text each whose vocabulary is small, and is not that of an item feature too.

    A derived feature is none of them: its raw value is a date or a time.

    Args:
      spec: The features.
      model: The trained model, whose tables have the vocabularies' sizes.
      inputs: The model's inputs that depend on the context alone, by transformed name.
    """

    def __init__(self, spec: FeatureSpec, model: WideDeep, inputs: Collection[str]) -> None:
        sizes = {
            name: table.rows - table.keys.oov_buckets
            for table in (*model.wide_tables, *model.embedding_tables)
            if table.keys.kind == "vocabulary"
            for name in table.inputs
        }
        by_input = {transformed_name(feature.name): feature for feature in spec.features}
        #: The number of tokens by feature.
        self._sizes = {
            feature.name: sizes[name]
            for name, feature in by_input.items()
            if name in inputs and _may_be_closed(spec, feature) and sizes[name] <= MAX_TOKENS
        }

    def __len__(self) -> int:
        """The number of these features."""
        return len(self._sizes)

    def names(self, features: Mapping[str, Any]) -> tf.Tensor:
        """The names of the features with an unknown value, separated by spaces, string `[rows]`.

        Args:
          features: The transformed features: ids, int64 `[rows]`, those of unknown values behind the tokens'.
        """
        ids = tf.stack([features[transformed_name(name)] for name in self._sizes], axis=1)
        is_unknown = ids >= tf.constant(list(self._sizes.values()), ids.dtype)
        names = tf.where(is_unknown, tf.constant([f"{name} " for name in self._sizes]), "")
        return tf.strings.strip(tf.strings.reduce_join(names, axis=1))


def _may_be_closed(spec: FeatureSpec, feature: Feature) -> bool:
    """Whether it is one text as it is, of a vocabulary that no item feature uses: there are new items each day."""
    sharers = spec.sharers(spec.vocabulary_owner(feature).name)
    return feature.is_one_text and all(sharer.side == "context" for sharer in sharers)
