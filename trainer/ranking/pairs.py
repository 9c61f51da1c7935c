"""Crosses of context and item features that are kept by count: a pair's weight is found by two numbers, not by a text.

A user has dozens of installed apps and a request hundreds of candidates. To join the texts of all their pairs, and to
look the joined texts up, would take longer than the matrix products.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.model import WideDeep
from trainer.ranking.summands import BOTH, sides_of
from transform.feature_spec import (
    CROSS_SEPARATOR,
    MISSING_TOKEN,
    Cross,
    FeatureSpec,
    Side,
    transformed_name,
    vocabulary_file_name,
)
from transform.preprocessing import as_column, single_value

_SIDES: tuple[Side, ...] = ("context", "item")

#: The number of a combination of one side's tokens that is in no pair with a weight.
_UNKNOWN = 0


class PairWeights:
    """The weights of a cross of both sides, by the numbers of its context's and of its item's combination of tokens.

    Args:
      spec: The features.
      cross: The cross; it is kept by count.
      vocabulary: The texts of its combinations, in the rows' order.
      weights: float32 `[rows]`.
    """

    def __init__(self, spec: FeatureSpec, cross: Cross, vocabulary: Sequence[bytes], weights: np.ndarray) -> None:
        self.name, self.input_name = cross.name, transformed_name(cross.name)
        self._spec = spec
        sides = [spec.by_name[name].side for name in cross.features]
        self._features = {
            side: [name for name, of in zip(cross.features, sides, strict=True) if of == side] for side in _SIDES
        }
        numbers: dict[Side, dict[bytes, int]] = {side: {} for side in _SIDES}
        found: dict[tuple[int, ...], float] = {}
        for row in np.flatnonzero(weights).tolist():
            for tokens in _splits(vocabulary[row], len(sides)):
                pair = []
                for side in _SIDES:
                    own = _joined(token for token, of in zip(tokens, sides, strict=True) if of == side)
                    pair.append(numbers[side].setdefault(own, len(numbers[side]) + 1))
                found[tuple(pair)] = float(weights[row])
        self._factor = len(numbers["item"]) + 1
        self._numbers = {side: _table(numbers[side], tf.string, tf.int64) for side in _SIDES}
        self._weights = _table({c * self._factor + i: w for (c, i), w in found.items()}, tf.int64, tf.float32)

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What an export has to keep track of."""
        return [*self._numbers.values(), self._weights]

    def numbers(self, side: Side, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The numbers of one side's combinations.

        Args:
          side: The side.
          raw: The side's raw features.
          features: The same, transformed.

        Returns:
          int64 `[rows]`, or, if a list is among the side's features, a RaggedTensor `[rows, any]`.
        """
        tokens = [self._tokens(name, raw, features) for name in self._features[side]]
        combinations = tokens[0]
        if len(tokens) > 1:
            combinations = tf.sparse.cross([as_column(part) for part in tokens], separator=CROSS_SEPARATOR)
        if not isinstance(combinations, tf.SparseTensor):
            return self._numbers[side].lookup(combinations)
        return tf.RaggedTensor.from_value_rowids(
            self._numbers[side].lookup(combinations.values),
            combinations.indices[:, 0],
            nrows=combinations.dense_shape[0],
            validate=False,
        )

    def _tokens(
        self, name: str, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, tf.Tensor]
    ) -> tf.Tensor | tf.SparseTensor:
        feature = self._spec.by_name[name]
        if feature.is_numeric:
            return tf.strings.as_string(features[transformed_name(feature.bucket_name)])
        return raw[name] if feature.is_list else single_value(raw[name], MISSING_TOKEN)

    def logits(self, contexts: tf.Tensor, items: tf.Tensor, context_of: tf.Tensor) -> tf.Tensor:
        """The sum of the weights of each candidate's pairs.

        Args:
          contexts: The contexts' `numbers`.
          items: The candidates' `numbers`.
          context_of: Each candidate's context, int64 `[candidates]`.

        Returns:
          float32 `[candidates]`.
        """
        candidate_of = None
        if isinstance(items, tf.RaggedTensor):
            num_candidates, candidate_of = items.nrows(), items.value_rowids()
            items, context_of = items.values, tf.gather(context_of, candidate_of)
        else:
            num_candidates = tf.size(items, out_type=tf.int64)
        spread = tf.gather(contexts, context_of)
        if isinstance(spread, tf.RaggedTensor):
            item_of = spread.value_rowids()
            spread, items = spread.values, tf.gather(items, item_of)
            candidate_of = item_of if candidate_of is None else tf.gather(candidate_of, item_of)
        weights = self._weights.lookup(spread * self._factor + items)
        if candidate_of is None:
            return weights
        return tf.math.unsorted_segment_sum(weights, candidate_of, num_candidates)


def counted_pairs(spec: FeatureSpec, model: WideDeep, tft_output: tft.TFTransformOutput) -> list[PairWeights]:
    """The model's crosses of both sides that are kept by count."""
    pairs = []
    for cross in spec.crosses:
        if cross.hash_buckets is None and sides_of(spec, cross.features) == BOTH:
            weights = model.table_weights[f"wide/{cross.name}"].numpy()
            vocabulary = tft_output.vocabulary_by_name(vocabulary_file_name(cross.name))
            pairs.append(PairWeights(spec, cross, vocabulary, weights))
    return pairs


def _joined(tokens: Iterator[bytes]) -> bytes:
    return CROSS_SEPARATOR.encode().join(tokens)


def _splits(combination: bytes, number: int) -> Iterator[tuple[bytes, ...]]:
    """All ways to read a combination as so many tokens: one, unless a token has the separator in it."""
    pieces = combination.split(CROSS_SEPARATOR.encode())
    for cuts in itertools.combinations(range(1, len(pieces)), number - 1):
        ends = (0, *cuts, len(pieces))
        yield tuple(_joined(iter(pieces[start:end])) for start, end in itertools.pairwise(ends))


def _table(values: Mapping[Any, float], key: tf.DType, value: tf.DType) -> tf.lookup.StaticHashTable:
    # A table must have an entry.
    values = values or {"" if key == tf.string else _UNKNOWN: _UNKNOWN}
    entries = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(values), key), tf.constant([*values.values()], value)
    )
    return tf.lookup.StaticHashTable(entries, default_value=_UNKNOWN)
