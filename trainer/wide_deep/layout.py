"""The model's weight tables and the layout of the deep part's input, as they follow from the feature spec."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from trainer.wide_deep.feature_kinds import KINDS_IN_MODEL
from trainer.wide_deep.tables import InputBlock, RowKeys, Table
from transform.combinations import NUM_COUNT_BUCKETS, CountInput, Cross
from transform.config import settings
from transform.feature_spec import FeatureSpec, transformed_name


def embedding_tables(
    spec: FeatureSpec, vocabulary_sizes: Mapping[str, int], model: settings.Model
) -> tuple[Table, ...]:
    """The deep part's tables: one per vocabulary, shared by all deep features that share it, and one per count.

    Args:
      spec: The features.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
      model: Defines the width of an embedding.

    Returns:
      The tables, in the order of the spec.
    """
    tables, deep = [], spec.of_part("deep")
    for owner, rule in spec.vocabularies.items():
        inputs = tuple(transformed_name(f.name) for f in spec.sharers(owner) if f in deep)
        if inputs:
            keys = RowKeys("vocabulary", owner, rule.num_oov_buckets, has_missing_row=spec.has_missing_row(owner))
            rows = vocabulary_sizes[owner] + rule.num_oov_buckets
            tables.append(Table(f"embedding/{owner}", rows, keys, inputs, _embedding_width(rows, model)))
    for name in spec.counts_of_part("deep"):
        tables.append(_count_table("embedding", name, _embedding_width(NUM_COUNT_BUCKETS + 1, model)))
    return tuple(tables)


def wide_tables(spec: FeatureSpec, vocabulary_sizes: Mapping[str, int]) -> tuple[Table, ...]:
    """The wide part's tables, one weight per row: one per wide feature, cross and count; arguments as above."""
    features = [KINDS_IN_MODEL[f.kind].make_wide_table(spec, f, vocabulary_sizes) for f in spec.of_part("wide")]
    crosses = [_cross_table(spec, cross, vocabulary_sizes) for cross in spec.crosses]
    return (*features, *crosses, *(_count_table("wide", name, 1) for name in spec.counts_of_part("wide")))


def deep_layout(spec: FeatureSpec, model: settings.Model, tables: Sequence[Table]) -> tuple[InputBlock, ...]:
    """The blocks of the deep part's input: each as wide as its embedding, or 2 columns for a numeric feature.

    Args:
      spec: The features.
      model: Defines how lists are combined.
      tables: The tables from `embedding_tables`.

    Returns:
      The blocks: the features in the spec's order, then the counts.
    """
    width = {name: table.width for table in tables for name in table.inputs}
    features = [KINDS_IN_MODEL[f.kind].make_block(spec, f, model, width) for f in spec.of_part("deep")]
    counts = [InputBlock(name, width[transformed_name(name)], name, None) for name in spec.counts_of_part("deep")]
    return (*features, *counts)


def _embedding_width(rows: int, model: settings.Model) -> int:
    if model.embedding_dim_factor is None:
        return model.embedding_dim
    return max(1, min(model.embedding_dim, round(model.embedding_dim_factor * math.sqrt(math.sqrt(rows)))))


def _count_table(part: Literal["wide", "embedding"], name: str, width: int) -> Table:
    kind: CountInput = "share" if name.endswith("_share") else "rows"
    return Table(f"{part}/{name}", NUM_COUNT_BUCKETS + 1, RowKeys(kind), (transformed_name(name),), width)


def _cross_table(spec: FeatureSpec, cross: Cross, vocabulary_sizes: Mapping[str, int]) -> Table:
    quantiles = {name: n for name in cross.features if (n := spec.by_name[name].num_buckets) is not None}
    inputs = (transformed_name(cross.name),)
    if cross.num_hash_buckets is not None:
        keys = RowKeys("hash", features=cross.features, quantiles=quantiles)
        return Table(f"wide/{cross.name}", cross.num_hash_buckets, keys, inputs)
    keys = RowKeys("vocabulary", cross.name, features=cross.features, quantiles=quantiles)
    return Table(f"wide/{cross.name}", vocabulary_sizes[cross.name], keys, inputs)
