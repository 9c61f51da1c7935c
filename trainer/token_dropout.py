"""Values that are hidden in training, so that unknown and missing values read rows that training has made meaningful.

Where every token of the training examples is in the vocabulary, as with `weekday`, no example would train the
out-of-vocabulary rows; and where no value is missing, none would train the rows of missing ones. Yet requests read
them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

from transform.feature_spec import MISSING_QUANTILE, MISSING_ROW, FeatureSpec, transformed_name

#: Features by transformed name.
Features = Mapping[str, tf.Tensor | tf.SparseTensor]


class TokenDropout:
    """Hides a share p of each feature's values: one half of them become missing, the other half unknown.

    - A missing token has the row `MISSING_ROW`, a missing number the quantile n_q and `MISSING_QUANTILE`; a list is
      empty, as where a request has none.
    - An unknown token has one of the vocabulary's out-of-vocabulary rows, drawn evenly. Of a list, each token becomes
      unknown by itself. A number cannot be unknown: all of its share are missing.
    - A cross has no combinations in the examples in which one of its features is hidden (single tokens of a list
      apart), as an unknown value has none that was counted.

    Args:
      spec: The features.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
      inputs: The transformed names of what the model reads.
      rate: p, at least 0 and below 1.
    """

    def __init__(
        self, spec: FeatureSpec, vocabulary_sizes: Mapping[str, int], inputs: Collection[str], rate: float
    ) -> None:
        self._spec, self._rate = spec, rate
        owners = {
            f.name: spec.vocabulary_owner(f).name
            for f in spec.features
            if not f.is_numeric and transformed_name(f.name) in inputs
        }
        #: The first out-of-vocabulary row, and the number of them, by feature.
        self._oov_rows = {
            name: (vocabulary_sizes[owner], spec.vocabularies[owner].oov_buckets) for name, owner in owners.items()
        }

    def __call__(
        self, features: Features, batch_size: tf.Tensor, step_seed_of: Callable[[str], tf.Tensor]
    ) -> dict[str, tf.Tensor | tf.SparseTensor]:
        """Hides values in a batch.

        Args:
          features: What the model reads in training.
          batch_size: The number of examples, an int32 scalar.
          step_seed_of: Gives the seed, int32 `[2]`, of what the running step draws, by its name.

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
            if feature.is_numeric:
                bucket_name = transformed_name(feature.bucket_name)
                if name in hidden:
                    hidden[name] = tf.where(is_hidden[feature.name], MISSING_QUANTILE, hidden[name])
                if bucket_name in hidden:
                    missing = tf.constant(feature.quantiles, tf.int64)
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
        """Hides values of the features that are one token, all at once: a step has many of them."""
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
        """Out-of-vocabulary rows of some features, int64 of the shape, whose first axis has the features."""
        first, number = zip(*(self._oov_rows[name] for name in names), strict=True)
        draws = tf.random.stateless_uniform(shape, seed)
        buckets = tf.cast(draws * tf.constant(number, tf.float32)[:, tf.newaxis], tf.int64)
        return tf.constant(first, tf.int64)[:, tf.newaxis] + buckets


def _without_rows(ids: tf.SparseTensor, gone: tf.Tensor) -> tf.SparseTensor:
    """The ids of the examples that are not `gone`, bool `[batch]`; the shape stays."""
    return tf.sparse.retain(ids, ~tf.gather(gone, ids.indices[:, 0]))
