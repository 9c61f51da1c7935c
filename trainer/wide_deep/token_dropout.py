"""Hides values in training, so that the rows of unknown and missing values are trained.

If every token of the training examples is in the vocabulary, as with `weekday`, no example would train the
out-of-vocabulary rows; if no value is missing, none would train the rows of missing values. Yet requests read these
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

from transform.feature import MISSING_ROW, missing_number
from transform.feature_spec import FeatureSpec, transformed_name

#: Features by transformed name.
Features = Mapping[str, tf.Tensor | tf.SparseTensor]


class TokenDropout:
    """Hides a share p of each feature's values: one half of them become missing, the other half unknown.

    - A missing token has the row `MISSING_ROW`; a missing number has the quantile n_q, and `missing_number` of its
      scale; a missing list is empty, as in a request that has none.
    - An unknown token has one of the vocabulary's out-of-vocabulary rows, drawn uniformly. In a list, each token
      becomes unknown independently. A number cannot be unknown: its whole share becomes missing.
    - A cross has no combinations in the examples in which one of its features is hidden, because no combination with an
      unknown value was counted. (Single unknown tokens of a list do not remove them.)

    Args:
      spec: The features.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
      inputs: The transformed names of the model's inputs.
      rate: p, at least 0 and below 1.
    """

    def __init__(
        self, spec: FeatureSpec, vocabulary_sizes: Mapping[str, int], inputs: Collection[str], rate: float
    ) -> None:
        self._spec, self._rate = spec, rate
        owners = {
            f.name: spec.vocabulary_owner(f).name
            for f in spec.features
            if f.has_ids and transformed_name(f.name) in inputs
        }
        #: The first out-of-vocabulary row and the number of such rows, by feature.
        self._oov_rows = {
            name: (vocabulary_sizes[owner], spec.vocabularies[owner].num_oov_buckets) for name, owner in owners.items()
        }

    def __call__(
        self, features: Features, batch_size: tf.Tensor, step_seed_of: Callable[[str], tf.Tensor]
    ) -> dict[str, tf.Tensor | tf.SparseTensor]:
        """Hides values in a batch.

        Args:
          features: The model's inputs in training.
          batch_size: The number of examples, an int32 scalar.
          step_seed_of: Returns the seed, int32 `[2]`, for a random draw in the current step, by the draw's name.

        Returns:
          The same features with some of their values hidden.
        """
        if self._rate == 0:
            return dict(features)
        names = [feature.name for feature in self._spec.features]
        shape = [len(names), batch_size]
        draws = tf.random.stateless_uniform(shape, step_seed_of("hidden values"))
        is_missing = dict(zip(names, tf.unstack(draws < self._rate / 2), strict=True))
        is_hidden = dict(zip(names, tf.unstack(draws < self._rate), strict=True))
        hidden = dict(features)
        for feature in self._spec.features:
            name = transformed_name(feature.name)
            if not feature.has_ids:
                bucket_name = transformed_name(feature.bucket_name)
                if name in hidden:
                    hidden[name] = tf.where(is_hidden[feature.name], missing_number(feature.scale), hidden[name])
                if bucket_name in hidden:
                    missing = tf.constant(feature.num_buckets, tf.int64)
                    hidden[bucket_name] = tf.where(is_hidden[feature.name], missing, hidden[bucket_name])
            elif name in hidden and feature.is_list:
                hidden[name] = self._hide_in_list(feature.name, hidden[name], is_missing[feature.name], step_seed_of)
        self._hide_tokens(hidden, is_missing, is_hidden, batch_size, step_seed_of)
        for cross in self._spec.crosses:
            name = transformed_name(cross.name)
            if name in hidden:
                lists = {f: is_missing[f] for f in cross.features if self._spec.by_name[f].is_list}
                gone = [lists.get(f, is_hidden[f]) for f in cross.features]
                hidden[name] = _without_rows(hidden[name], tf.reduce_any(gone, axis=0))
        return hidden

    def _hide_tokens(
        self,
        hidden: dict[str, tf.Tensor | tf.SparseTensor],
        is_missing: Mapping[str, tf.Tensor],
        is_hidden: Mapping[str, tf.Tensor],
        batch_size: tf.Tensor,
        step_seed_of: Callable[[str], tf.Tensor],
    ) -> None:
        """Hides values of all features with a single token at once, because a model has many such features."""
        read = [name for name in self._oov_rows if not self._spec.by_name[name].is_list]
        if not read:
            return
        oov = self._drawn_oov_rows(read, [len(read), batch_size], step_seed_of("unknown tokens"))
        ids = tf.stack([hidden[transformed_name(name)] for name in read])
        ids = tf.where(tf.stack([is_hidden[name] for name in read]), oov, ids)
        ids = tf.where(tf.stack([is_missing[name] for name in read]), tf.constant(MISSING_ROW, tf.int64), ids)
        hidden |= zip([transformed_name(name) for name in read], tf.unstack(ids), strict=True)

    def _hide_in_list(
        self, name: str, ids: tf.SparseTensor, is_missing: tf.Tensor, step_seed_of: Callable[[str], tf.Tensor]
    ) -> tf.SparseTensor:
        size = tf.shape(ids.values)[0]
        draws = tf.random.stateless_uniform([size], step_seed_of(f"unknown tokens/{name}"))
        (oov,) = tf.unstack(self._drawn_oov_rows([name], [1, size], step_seed_of(f"unknown rows/{name}")))
        values = tf.where(draws < self._rate / 2, oov, ids.values)
        return _without_rows(tf.SparseTensor(ids.indices, values, ids.dense_shape), is_missing)

    def _drawn_oov_rows(self, names: list[str], shape: list[int | tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        """Draws out-of-vocabulary rows, int64 of the given shape, whose first axis is the features."""
        first, number = zip(*(self._oov_rows[name] for name in names), strict=True)
        draws = tf.random.stateless_uniform(shape, seed)
        buckets = tf.cast(draws * tf.constant(number, tf.float32)[:, tf.newaxis], tf.int64)
        return tf.constant(first, tf.int64)[:, tf.newaxis] + buckets


def _without_rows(ids: tf.SparseTensor, gone: tf.Tensor) -> tf.SparseTensor:
    """Removes the ids of the examples that are `gone`, bool `[batch]`; the shape stays the same."""
    return tf.sparse.retain(ids, ~tf.gather(gone, ids.indices[:, 0]))
