"""Encodes contexts and items, each separately, and what depends on both together."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from trainer.counts import CountTables
from trainer.rank_export.closed_vocabularies import ClosedVocabularies
from trainer.rank_export.limits import bounded, bounded_lists
from trainer.rank_export.pairs import CrossLookup
from trainer.rank_export.partial_logits import BOTH, CONTEXT, ITEM, PartialLogits, Sides, find_sides, input_sides
from trainer.transform_output.graph import apply_transform, pruned
from trainer.wide_deep.model import WeightsOf, WideDeep, read_batch_size
from transform.feature import Feature, Side
from transform.feature_spec import FeatureSpec, transformed_name
from transform.graph.raw_values import RawRule, clean

#: The encodings of some contexts or items: tensors and RaggedTensors, each `[rows, …]`.
Rows = dict[str, Any]

#: Keys of `Rows`: the partial wide logit, float32 `[rows]`, and, if present, the partial sum of the first hidden layer,
#: float32 `[rows, units]`.
WIDE, FIRST_SUM = _SUMS = ("wide", "first_sum")

#: Key of the contexts' `Rows`, if the model has such features: the names of those whose value is unknown, string
#: `[rows]` (`ClosedVocabularies.names`).
UNKNOWN = "unknown"


def _raw_name(feature: str) -> str:
    """The key of `Rows` for a feature's raw values, needed when it is combined with a feature of the other side."""
    return f"raw/{feature}"


class Encoders:
    """The three parts of the computation, for one model. The context's part includes the biases.

    Args:
      spec: The features.
      model: The trained model.
      weights_of: Looks up the wide tables' weights.
      transform_fn: tf.Transform's saved function.
      rules: How raw values are cleaned, by feature.
      pairs: The crosses of both sides whose weights can be looked up by pair.
      counts: The tables from which the counts' inputs are read; None without counts.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        model: WideDeep,
        weights_of: WeightsOf,
        transform_fn: Any,
        rules: Mapping[str, RawRule],
        pairs: Sequence[CrossLookup],
        counts: CountTables | None,
    ) -> None:
        self._spec, self._model, self._rules, self._pairs, self._counts = spec, model, rules, pairs, counts
        sides, paired = input_sides(spec), {pair.input_name for pair in pairs}
        inputs = {
            which: {name for name in model.served_names if sides[name] == which and name not in paired}
            for which in (CONTEXT, ITEM, BOTH)
        }
        self._inputs = inputs
        self._closed_vocabularies = ClosedVocabularies(spec, model, inputs[CONTEXT])
        self._summands = {which: PartialLogits(model, weights_of, names) for which, names in inputs.items()}
        tokens = {transformed_name(spec.by_name[name].bucket_name) for pair in pairs for name in pair.numeric_features}
        self._transforms = {
            which: pruned(transform_fn, spec.stored_names(names | {name for name in tokens if sides[name] == which}))
            for which, names in inputs.items()
        }
        # A combination of both sides that is not in `pairs` goes through tf.Transform's graph for each candidate.
        combined = {
            name
            for combination in spec.combinations
            if find_sides(spec, combination.features) == BOTH and combination.name not in {pair.name for pair in pairs}
            for name in combination.features
        }
        self._raw = {
            side: sorted(name for name in combined if spec.by_name[name].side == side) for side in ("context", "item")
        }

    @property
    def resources(self) -> list[Any]:
        """The resources that the export must track: the first hidden layer's kernel slices and the pairs' tables."""
        kernels = [summand.kernel for summand in self._summands.values() if summand.kernel is not None]
        return [*kernels, *(table for pair in self._pairs for table in pair.tables)]

    def encode(self, side: Side, raw: Mapping[str, tf.SparseTensor]) -> Rows:
        """Computes what depends on one side alone.

        Args:
          side: The side.
          raw: All raw features of that side, SparseTensors `[rows, any]`.

        Returns:
          WIDE and FIRST_SUM; each cross's combinations, by its name; raw values; and UNKNOWN.
        """
        which, raw = frozenset({side}), clean(bounded_lists(raw, self._spec), self._rules)
        features = self._transformed(which, raw)
        rows = self._sums(which, features) if self._inputs[which] else {WIDE: tf.zeros([read_batch_size(raw)])}
        if which == CONTEXT:
            rows[WIDE] += self._model.served_bias()
            if self._model.hidden_layers is not None:
                bias = self._model.hidden_layers.named_variables["dense_0/bias"]
                zeros = tf.zeros([tf.shape(rows[WIDE])[0], 1])
                rows[FIRST_SUM] = bias + rows.get(FIRST_SUM, zeros)
            if self._closed_vocabularies:
                rows[UNKNOWN] = self._closed_vocabularies.names(features)
        rows |= {pair.name: pair.combinations(side, raw, features) for pair in self._pairs}
        rows |= {_raw_name(name): tf.RaggedTensor.from_sparse(raw[name]) for name in self._raw[side]}
        return rows

    def encode_item_ids(self, item_id: Feature, texts: tf.Tensor) -> tf.Tensor:
        """Item ids in the form of the catalog's keys, string of any shape."""
        return tf.strings.strip(texts) if self._rules[item_id.name].trim else texts

    def combine(self, contexts: Rows, items: Rows, context_of: tf.Tensor) -> Rows:
        """Sums up the parts of the candidates' logits.

        Args:
          contexts: The contexts' result of `encode`.
          items: The candidates' result of `encode`.
          context_of: Each candidate's context, int64 `[candidates]`.

        Returns:
          WIDE and FIRST_SUM of the candidates, including biases. Of a single context, FIRST_SUM may have one row for
          all candidates: if the deep part reads no item feature.
        """
        summands = [{name: _spread(contexts[name], context_of) for name in _SUMS if name in contexts}, items]
        if self._inputs[BOTH]:
            raw = {name: items[_raw_name(name)].to_sparse() for name in self._raw["item"]}
            for name in self._raw["context"]:
                values = contexts[_raw_name(name)]
                rows = bounded(context_of, tf.gather(values.row_lengths(), context_of), name)
                raw[name] = tf.gather(values, rows).to_sparse()
            features = self._transformed(BOTH, bounded_lists(raw, self._spec))
            summands.append(self._sums(BOTH, features))
        for pair in self._pairs:
            summands.append({WIDE: pair.logits(contexts[pair.name], items[pair.name], context_of)})
        present = {name: [rows[name] for rows in summands if name in rows] for name in _SUMS}
        return {name: functools.reduce(tf.add, values) for name, values in present.items() if values}

    def _transformed(self, which: Sides, raw: Mapping[str, tf.SparseTensor]) -> dict[str, Any]:
        features = apply_transform(self._transforms[which], raw)
        return features if self._counts is None else self._counts.features(features)

    def _sums(self, which: Sides, features: Mapping[str, Any]) -> Rows:
        own, summand = {name: features[name] for name in self._inputs[which]}, self._summands[which]
        first_sum = summand.first_sum(own)
        return {WIDE: summand.wide(own)} | ({} if first_sum is None else {FIRST_SUM: first_sum})


def _spread(values: tf.Tensor, context_of: tf.Tensor) -> tf.Tensor:
    """One row per candidate; a single context stays one row, which broadcasts in an addition without a copy."""
    return tf.cond(tf.shape(values)[0] == 1, lambda: values, lambda: tf.gather(values, context_of))
