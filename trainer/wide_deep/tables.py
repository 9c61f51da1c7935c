"""Defines the model's weight tables and what each row of a table represents."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from transform.combinations import NUM_COUNT_BUCKETS, CountInput, Cross
from transform.config import settings
from transform.feature import MISSING_ROW, Feature, Scale
from transform.feature_spec import FeatureSpec, transformed_name


@dataclasses.dataclass(frozen=True)
class RowKeys:
    """What the rows of a table represent, so that a later model can match them.

    The warm-start files of all releases have these names; they do not follow the config's.

    Attributes:
      kind: `vocabulary`: row i is the vocabulary's token i, and the out-of-vocabulary rows follow. `hash`: row i is
        hash bucket i. `quantiles`: row i is quantile i, and the last row represents a missing value. `share` and
        `rows`: row i is bucket i of one of a count's two numbers (`trainer.counts`), and the last row represents a
        hidden count.
      vocabulary: For `vocabulary`: the name of the feature or cross that owns the vocabulary.
      oov_buckets: For `vocabulary`: the number of rows after the tokens' rows.
      features: For a cross or quantiles: the features whose values form a row's key, in the key's order.
      quantiles: The number of quantiles of each numeric feature among `features`, by name.
      has_missing_row: For `vocabulary`: whether the row `MISSING_ROW` represents a missing value.
    """

    kind: Literal["vocabulary", "hash", "quantiles", "share", "rows"]
    vocabulary: str | None = None
    oov_buckets: int = 0
    features: tuple[str, ...] = ()
    quantiles: dict[str, int] = dataclasses.field(default_factory=dict)
    has_missing_row: bool = False

    def rows_without_token(self, rows: int) -> np.ndarray:
        """The rows, int64, that represent unknown and missing values, in a table of `rows` rows."""
        if self.kind == "quantiles":
            return np.array([rows - 1], np.int64)
        missing = [MISSING_ROW] if self.has_missing_row else []
        return np.array([*missing, *range(rows - self.oov_buckets, rows)], np.int64)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Table:
    """One weight table.

    Attributes:
      name: `embedding/<feature that declares the vocabulary>`, `wide/<feature or cross>`, or either prefix with a
        count input's name.
      rows: The number of rows.
      keys: What the rows represent.
      inputs: The transformed names of the inputs whose ids are looked up in the table, in the spec's order.
      width: The number of values in a row; 1 in the wide part.
    """

    name: str
    rows: int
    keys: RowKeys
    inputs: tuple[str, ...]
    width: int = 1


@dataclasses.dataclass(frozen=True)
class InputBlock:
    """The columns of the deep part's input that belong to one feature.

    Attributes:
      feature: The feature's name.
      width: The number of columns: an embedding's width, or 2 for a numeric feature.
      vocabulary: The vocabulary, or the count, that the embeddings belong to; None for a numeric feature.
      combiner: How a list's embeddings are combined; None for a feature that is not a list.
      scale: The scale of a numeric feature; the default for the others.
    """

    feature: str
    width: int
    vocabulary: str | None
    combiner: str | None
    scale: Scale = "quantile"


def counted_vocabularies(spec: FeatureSpec) -> tuple[str, ...]:
    """The names of all vocabularies that tf.Transform learns: of features that declare one and of counted crosses."""
    crosses = [cross.name for cross in spec.crosses if cross.num_hash_buckets is None]
    return (*spec.vocabularies, *crosses)


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
    tables = []
    for owner, rule in spec.vocabularies.items():
        inputs = tuple(transformed_name(f.name) for f in spec.sharers(owner) if "deep" in f.parts)
        if inputs:
            keys = RowKeys("vocabulary", owner, rule.num_oov_buckets, has_missing_row=spec.has_missing_row(owner))
            rows = vocabulary_sizes[owner] + rule.num_oov_buckets
            tables.append(Table(f"embedding/{owner}", rows, keys, inputs, _embedding_width(rows, model)))
    for name in spec.counts_of_part("deep"):
        tables.append(_count_table("embedding", name, _embedding_width(NUM_COUNT_BUCKETS + 1, model)))
    return tuple(tables)


def wide_tables(spec: FeatureSpec, vocabulary_sizes: Mapping[str, int]) -> tuple[Table, ...]:
    """The wide part's tables, one weight per row: one per wide feature, cross and count; arguments as above."""
    features = [_wide_feature_table(spec, f, vocabulary_sizes) for f in spec.of_part("wide")]
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
    features = [
        InputBlock(f.name, 2, None, None, f.scale)
        if f.is_numeric
        else InputBlock(
            f.name,
            width[transformed_name(f.name)],
            spec.vocabulary_owner(f).name,
            model.list_combiner if f.is_list else None,
        )
        for f in spec.of_part("deep")
    ]
    counts = [InputBlock(name, width[transformed_name(name)], name, None) for name in spec.counts_of_part("deep")]
    return (*features, *counts)


def _embedding_width(rows: int, model: settings.Model) -> int:
    if model.embedding_dim_factor is None:
        return model.embedding_dim
    return max(1, min(model.embedding_dim, round(model.embedding_dim_factor * math.sqrt(math.sqrt(rows)))))


def _count_table(part: Literal["wide", "embedding"], name: str, width: int) -> Table:
    kind: CountInput = "share" if name.endswith("_share") else "rows"
    return Table(f"{part}/{name}", NUM_COUNT_BUCKETS + 1, RowKeys(kind), (transformed_name(name),), width)


def _wide_feature_table(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> Table:
    name = f"wide/{feature.name}"
    if feature.is_numeric:
        assert feature.num_buckets is not None  # ensured by the spec's validation
        keys = RowKeys("quantiles", features=(feature.name,), quantiles={feature.name: feature.num_buckets})
        return Table(name, feature.num_buckets + 1, keys, (transformed_name(feature.bucket_name),))
    owner = spec.vocabulary_owner(feature).name
    oov_buckets = spec.vocabularies[owner].num_oov_buckets
    keys = RowKeys("vocabulary", owner, oov_buckets, has_missing_row=spec.has_missing_row(owner))
    return Table(name, vocabulary_sizes[owner] + oov_buckets, keys, (transformed_name(feature.name),))


def _cross_table(spec: FeatureSpec, cross: Cross, vocabulary_sizes: Mapping[str, int]) -> Table:
    quantiles = {name: n for name in cross.features if (n := spec.by_name[name].num_buckets) is not None}
    inputs = (transformed_name(cross.name),)
    if cross.num_hash_buckets is not None:
        keys = RowKeys("hash", features=cross.features, quantiles=quantiles)
        return Table(f"wide/{cross.name}", cross.num_hash_buckets, keys, inputs)
    keys = RowKeys("vocabulary", cross.name, features=cross.features, quantiles=quantiles)
    return Table(f"wide/{cross.name}", vocabulary_sizes[cross.name], keys, inputs)
