"""Contexts and items, each computed by itself, and what depends on the two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from trainer.model import WeightsOf, WideDeep
from trainer.ranking.pairs import PairWeights
from trainer.ranking.summands import BOTH, CONTEXT, ITEM, Summand, input_sides, sides_of
from trainer.transform_graph import apply_transform
from transform.feature_spec import FeatureSpec, Side

#: What is known of some contexts or items: tensors and RaggedTensors, each `[rows, …]`.
Rows = dict[str, Any]

#: In `Rows`: the part of the wide logit, float32 `[rows]`, and of the first layer's product, float32 `[rows, units]`.
WIDE, PRODUCT = "wide", "product"


def _raw_name(feature: str) -> str:
    """In `Rows`, the raw values of a feature that only together with the other side's say something."""
    return f"raw/{feature}"


class Encoders:
    """The three parts of the computation, for one model.

    Args:
      spec: The features.
      model: The trained model.
      weights_of: Looks the wide tables' weights up.
      transform_fn: tf.Transform's saved function.
      pairs: The crosses of both sides that are kept by count.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        model: WideDeep,
        weights_of: WeightsOf,
        transform_fn: Any,
        pairs: Sequence[PairWeights],
    ) -> None:
        self._transform_fn, self._pairs = transform_fn, pairs
        sides = input_sides(spec)
        #: By the sides they depend on, the transformed names of the model's inputs; a pair is no such input here.
        paired = {pair.input_name for pair in pairs}
        self._inputs = {
            which: {name for name in model.feature_names if sides[name] == which and name not in paired}
            for which in (CONTEXT, ITEM, BOTH)
        }
        self._summands = {which: Summand(model, weights_of, inputs) for which, inputs in self._inputs.items()}
        # What is neither of one side nor a pair goes through tf.Transform's graph candidate by candidate.
        pair_names = {pair.name for pair in pairs}
        combined = {
            name
            for combination in spec.combinations
            if sides_of(spec, combination.features) == BOTH and combination.name not in pair_names
            for name in combination.features
        }
        self._raw = {side: sorted(n for n in combined if spec.by_name[n].side == side) for side in ("context", "item")}

    @property
    def resources(self) -> list[Any]:
        """What an export has to keep: the first hidden layer's kernel, cut up, and the pairs' tables."""
        kernels = [summand.kernel for summand in self._summands.values() if summand.kernel is not None]
        return [*kernels, *(table for pair in self._pairs for table in pair.tables)]

    def encode(self, side: Side, raw: Mapping[str, tf.SparseTensor]) -> Rows:
        """Computes what depends on one side alone.

        Args:
          side: The side.
          raw: Its raw features, all of them, SparseTensors `[rows, any]`.

        Returns:
          WIDE and PRODUCT; by each pair's name its `numbers`; and raw values.
        """
        which = frozenset({side})
        features = apply_transform(self._transform_fn, raw)
        rows: Rows = self._sums(which, features)
        rows |= {pair.name: pair.numbers(side, raw, features) for pair in self._pairs}
        rows |= {_raw_name(name): tf.RaggedTensor.from_sparse(raw[name]) for name in self._raw[side]}
        return rows

    def combine(self, contexts: Rows, items: Rows, context_of: tf.Tensor) -> Rows:
        """Sums up what is known of candidates.

        Args:
          contexts: As `encode` gives them.
          items: The same, of the candidates.
          context_of: Each candidate's context, int64 `[candidates]`.

        Returns:
          WIDE and PRODUCT of the candidates.
        """
        both = {name: tf.gather(contexts[name], context_of) + items[name] for name in (WIDE, PRODUCT)}
        for pair in self._pairs:
            both[WIDE] += pair.logits(contexts[pair.name], items[pair.name], context_of)
        if self._inputs[BOTH]:
            raw = {name: tf.gather(contexts[_raw_name(name)], context_of).to_sparse() for name in self._raw["context"]}
            raw |= {name: items[_raw_name(name)].to_sparse() for name in self._raw["item"]}
            sums = self._sums(BOTH, apply_transform(self._transform_fn, raw))
            both = {name: both[name] + sums[name] for name in both}
        return both

    def _sums(self, which: frozenset[Side], features: Mapping[str, Any]) -> Rows:
        own = {name: features[name] for name in self._inputs[which]}
        return {WIDE: self._summands[which].wide(own), PRODUCT: self._summands[which].product(own)}
