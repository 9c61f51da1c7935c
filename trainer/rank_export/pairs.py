"""Crosses of context and item features, whose combinations are pairs of a context's and an item's combination.

A user has dozens of installed apps and a request has hundreds of candidates. Joining the texts of all their pairs and
looking up the joined texts would take longer than the matrix products, so a counted cross finds a pair's weight by two
numbers. A hashed cross has to join the texts, since their hash is the weight's row.
"""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.rank_export.limits import bounded
from trainer.rank_export.partial_logits import BOTH
from trainer.wide_deep.model import WeightsOf, WideDeep
from transform.combinations import CROSS_SEPARATOR, Cross
from transform.feature import Side
from transform.feature_spec import FeatureSpec, transformed_name
from transform.files.tokens import read_vocabulary
from transform.graph.feature_kinds import read_tokens
from transform.preprocessing import combine_values

_SIDES: tuple[Side, ...] = ("context", "item")

#: The number for a combination that occurs in no pair with a weight.
_UNKNOWN = 0

#: Encoded combinations of contexts or items: a tensor `[rows]`, or, for a list, a RaggedTensor `[rows, any]`.
Combinations = Any


class CrossLookup(abc.ABC):
    """A cross of both sides: computes what its pairs of combinations add to the wide logit."""

    def __init__(self, spec: FeatureSpec, cross: Cross) -> None:
        self.name, self.input_name = cross.name, transformed_name(cross.name)
        self._spec = spec
        self._features = {side: [name for name in cross.features if spec.by_name[name].side == side] for side in _SIDES}

    @property
    def numeric_features(self) -> list[str]:
        """The names of its numeric features."""
        return [name for names in self._features.values() for name in names if not self._spec.by_name[name].has_ids]

    @property
    @abc.abstractmethod
    def tables(self) -> list[Any]:
        """The resources that the export must track."""

    @abc.abstractmethod
    def encoded(self, side: Side, texts: tf.Tensor) -> tf.Tensor:
        """Encodes combinations of one side, `[any]`, given their texts."""

    @abc.abstractmethod
    def weights(self, contexts: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The weights, float32 `[pairs]`, of pairs of an encoded context and an encoded item combination."""

    def combinations(
        self, side: Side, raw: Mapping[str, tf.SparseTensor], features: Mapping[str, tf.Tensor]
    ) -> Combinations:
        """Encodes one side's combinations, from that side's raw and transformed features."""
        tokens = [read_tokens(raw[name], features, self._spec.by_name[name]) for name in self._features[side]]
        texts = tokens[0]
        if len(tokens) > 1:
            texts = combine_values(tokens)
        if not isinstance(texts, tf.SparseTensor):
            return self.encoded(side, texts)
        rows, num_rows = texts.indices[:, 0], texts.dense_shape[0]
        return tf.RaggedTensor.from_value_rowids(self.encoded(side, texts.values), rows, num_rows, validate=False)

    def logits(self, contexts: Combinations, items: Combinations, context_of: tf.Tensor) -> tf.Tensor:
        """The sum of the weights of each candidate's pairs.

        Args:
          contexts: The contexts' `combinations`.
          items: The candidates' `combinations`.
          context_of: Each candidate's context, int64 `[candidates]`.

        Returns:
          float32 `[candidates]`. With too many pairs, the graph raises InvalidArgumentError when it runs.
        """
        num_candidates, candidate_of = tf.size(context_of, out_type=tf.int64), None
        if isinstance(items, tf.RaggedTensor):
            candidate_of = items.value_rowids()
            items, context_of = items.values, tf.gather(context_of, candidate_of)
        if isinstance(contexts, tf.RaggedTensor):
            context_of = bounded(context_of, tf.gather(contexts.row_lengths(), context_of), self.name)
        spread = tf.gather(contexts, context_of)
        if isinstance(spread, tf.RaggedTensor):
            item_of = spread.value_rowids()
            spread, items = spread.values, tf.gather(items, item_of)
            candidate_of = item_of if candidate_of is None else tf.gather(candidate_of, item_of)
        weights = self.weights(spread, items)
        if candidate_of is None:
            return weights
        return tf.math.unsorted_segment_sum(weights, candidate_of, num_candidates)


class VocabularyCrossLookup(CrossLookup):
    """A cross that is kept by count: a number encodes a combination, and two numbers form a pair's key.

    Args:
      spec: The features.
      cross: The cross.
      vocabulary: The texts of its combinations, in the order of the table's rows.
      weights: float32 `[rows]`.
    """

    def __init__(self, spec: FeatureSpec, cross: Cross, vocabulary: Sequence[bytes], weights: np.ndarray) -> None:
        super().__init__(spec, cross)
        sides = [spec.by_name[name].side for name in cross.features]
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
    def tables(self) -> list[Any]:
        return [*self._numbers.values(), self._weights]

    def encoded(self, side: Side, texts: tf.Tensor) -> tf.Tensor:
        return self._numbers[side].lookup(texts)

    def weights(self, contexts: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return self._weights.lookup(contexts * self._factor + items)


class HashedCrossLookup(CrossLookup):
    """A hashed cross whose context features all come before its item features, or all after them.

    Args:
      spec: The features.
      cross: The cross.
      weights_of: Returns the weights, float32 `[any]`, of rows, int64 `[any]`.
    """

    def __init__(self, spec: FeatureSpec, cross: Cross, weights_of: Callable[[tf.Tensor], tf.Tensor]) -> None:
        super().__init__(spec, cross)
        self._num_rows, self._weights_of = cross.num_hash_buckets, weights_of
        self._context_first = spec.by_name[cross.features[0]].side == "context"

    @property
    def tables(self) -> list[Any]:
        return []

    def encoded(self, side: Side, texts: tf.Tensor) -> tf.Tensor:
        return texts

    def weights(self, contexts: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        parts = [contexts, items] if self._context_first else [items, contexts]
        texts = tf.strings.join(parts, separator=CROSS_SEPARATOR)
        return self._weights_of(tf.strings.to_hash_bucket_fast(texts, self._num_rows))


def make_cross_lookups(
    spec: FeatureSpec, model: WideDeep, weights_of: WeightsOf, tft_output: tft.TFTransformOutput
) -> list[CrossLookup]:
    """The model's crosses of both sides, except hashed ones whose context and item features interleave."""
    pairs: list[CrossLookup] = []
    tables = {table.name: table for table in model.wide_tables}
    for cross in spec.crosses:
        sides = [spec.by_name[name].side for name in cross.features]
        table = tables.get(f"wide/{cross.name}")
        if table is None or set(sides) != BOTH:
            continue
        if cross.num_hash_buckets is None:
            vocabulary = read_vocabulary(tft_output, cross.name)
            pairs.append(VocabularyCrossLookup(spec, cross, vocabulary, model.table_weights[table.name].numpy()))
        elif sum(a != b for a, b in itertools.pairwise(sides)) == 1:
            pairs.append(HashedCrossLookup(spec, cross, functools.partial(weights_of, table)))
    return pairs


def _joined(tokens: Iterator[bytes]) -> bytes:
    return CROSS_SEPARATOR.encode().join(tokens)


def _splits(combination: bytes, number: int) -> Iterator[tuple[bytes, ...]]:
    """All ways to read a combination as `number` tokens: one way, unless a token contains the separator."""
    pieces = combination.split(CROSS_SEPARATOR.encode())
    for cuts in itertools.combinations(range(1, len(pieces)), number - 1):
        ends = (0, *cuts, len(pieces))
        yield tuple(_joined(iter(pieces[start:end])) for start, end in itertools.pairwise(ends))


def _table(values: Mapping[Any, float], key: tf.DType, value: tf.DType) -> tf.lookup.StaticHashTable:
    # A table must have at least one entry.
    values = values or {"" if key == tf.string else _UNKNOWN: _UNKNOWN}
    entries = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(values), key), tf.constant([*values.values()], value)
    )
    return tf.lookup.StaticHashTable(entries, default_value=_UNKNOWN)
