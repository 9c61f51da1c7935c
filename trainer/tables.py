"""Which weight tables the model has, and what each row of a table stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from transform import settings
from transform.feature_spec import Cross, Feature, FeatureSpec, transformed_name


@dataclasses.dataclass(frozen=True)
class RowKeys:
    """What the rows of a table stand for, so that a later model can find them again.

    Attributes:
      kind: `vocabulary`: row i is the vocabulary's token i, and the out-of-vocabulary rows follow. `hash`: row i is
        hash bucket i. `quantiles`: row i is quantile i.
      vocabulary: With `vocabulary`: the name of the feature or cross whose vocabulary it is.
      oov_buckets: With `vocabulary`: the number of rows behind the tokens' rows.
      quantiles: Of a cross: the number of quantiles of each numeric feature in it, by name; with another number, a
        quantile's id means something else.
    """

    kind: Literal["vocabulary", "hash", "quantiles"]
    vocabulary: str | None = None
    oov_buckets: int = 0
    quantiles: dict[str, int] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Table:
    """One weight table.

    Attributes:
      name: `embedding/<feature that declares the vocabulary>` or `wide/<feature or cross>`.
      rows: The number of rows.
      keys: What the rows stand for.
      inputs: The transformed names of the inputs whose ids are looked up in it, in the spec's order.
    """

    name: str
    rows: int
    keys: RowKeys
    inputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class InputBlock:
    """The columns of the deep part's input that belong to one feature.

    Attributes:
      feature: Its name.
      width: Their number.
      vocabulary: The vocabulary whose embeddings they are; None for a numeric feature.
      combiner: How a list's embeddings became one; None for a feature that is no list.
    """

    feature: str
    width: int
    vocabulary: str | None
    combiner: str | None


def counted_vocabularies(spec: FeatureSpec) -> tuple[str, ...]:
    """The names of all vocabularies tf.Transform learns: of the features that declare one and of counted crosses."""
    crosses = [cross.name for cross in spec.crosses if cross.hash_buckets is None]
    return (*spec.vocabularies, *crosses)


def embedding_tables(spec: FeatureSpec, vocabulary_sizes: Mapping[str, int]) -> tuple[Table, ...]:
    """The deep part's tables: one per vocabulary, shared by all deep features that share the vocabulary.

    Args:
      spec: The features.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.

    Returns:
      The tables, in the order of the spec.
    """
    tables = []
    for owner, rule in spec.vocabularies.items():
        inputs = tuple(transformed_name(f.name) for f in spec.sharers(owner) if "deep" in f.parts)
        if inputs:
            keys = RowKeys("vocabulary", owner, rule.oov_buckets)
            rows = vocabulary_sizes[owner] + rule.oov_buckets
            tables.append(Table(f"embedding/{owner}", rows, keys, inputs))
    return tuple(tables)


def wide_tables(spec: FeatureSpec, vocabulary_sizes: Mapping[str, int]) -> tuple[Table, ...]:
    """The wide part's tables, one weight per row: one per wide feature and one per cross; arguments as above."""
    features = [_wide_feature_table(spec, f, vocabulary_sizes) for f in spec.of_part("wide")]
    return (*features, *(_cross_table(spec, cross, vocabulary_sizes) for cross in spec.crosses))


def deep_layout(spec: FeatureSpec, model: settings.Model) -> tuple[InputBlock, ...]:
    """The deep part's input, block by block: `embedding_dim` wide for a categorical feature, 1 for a numeric one."""
    return tuple(
        InputBlock(f.name, 1, None, None)
        if f.is_numeric
        else InputBlock(
            f.name, model.embedding_dim, spec.vocabulary_owner(f).name, model.list_combiner if f.is_list else None
        )
        for f in spec.of_part("deep")
    )


def _wide_feature_table(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> Table:
    name = f"wide/{feature.name}"
    if feature.is_numeric:
        assert feature.quantiles is not None  # the spec's validation holds this
        return Table(name, feature.quantiles, RowKeys("quantiles"), (transformed_name(feature.bucket_name),))
    owner = spec.vocabulary_owner(feature).name
    oov_buckets = spec.vocabularies[owner].oov_buckets
    keys = RowKeys("vocabulary", owner, oov_buckets)
    return Table(name, vocabulary_sizes[owner] + oov_buckets, keys, (transformed_name(feature.name),))


def _cross_table(spec: FeatureSpec, cross: Cross, vocabulary_sizes: Mapping[str, int]) -> Table:
    quantiles = {name: n for name in cross.features if (n := spec.by_name[name].quantiles) is not None}
    inputs = (transformed_name(cross.name),)
    if cross.hash_buckets is not None:
        return Table(f"wide/{cross.name}", cross.hash_buckets, RowKeys("hash", quantiles=quantiles), inputs)
    keys = RowKeys("vocabulary", cross.name, quantiles=quantiles)
    return Table(f"wide/{cross.name}", vocabulary_sizes[cross.name], keys, inputs)
