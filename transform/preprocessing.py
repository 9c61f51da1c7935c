"""tf.Transform's `preprocessing_fn`: transforms raw features to ids, numbers and crosses (paper, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from transform.combinations import CROSS_SEPARATOR, Cross
from transform.config.component_settings import DataSettings
from transform.example_keys import FOLD, LABEL, LATE_LABEL, NO_FOLD, NO_SPAN, PLACEMENT, SHARES_LABEL, SPAN, WEIGHT
from transform.feature import MISSING_TOKEN, Vocabulary
from transform.feature_spec import FeatureSpec, transformed_name, vocabulary_file_name
from transform.graph.feature_kinds import KINDS_IN_GRAPH, read_tokens
from transform.graph.raw_values import clean, raw_rules
from transform.graph.sparse_values import single_value

#: The key of `custom_config` that holds the config, as `DataSettings.to_json` writes it.
CONFIG_KEY = "config"

#: The key of `custom_config` that holds the fingerprint of the code that Transform runs.
CODE_KEY = "code_fingerprint"

#: The key of `custom_config` that holds the tokens of earlier spans that get rows, as
#: `transform.stateful_vocabulary.earlier_tokens` returns them; absent if there is no memory. The executor adds it.
REMEMBERED_KEY = "remembered"


def preprocessing_fn(inputs: dict[str, tf.SparseTensor], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transforms a batch; Transform's executor calls it with the config in `custom_config`.

    Args:
      inputs: The raw features by name, each a SparseTensor `[batch, any]` of string or float32; the label, int64
        `[batch, 1]`, and the weight, float32 `[batch, 1]`, if there are any.
      custom_config: Holds the config's JSON under `CONFIG_KEY`, and the tokens of earlier spans under `REMEMBERED_KEY`.

    Returns:
      By transformed name: for a categorical feature its ids, int64 `[batch]`, and for a list an int64
      SparseTensor `[batch, any]`; for a numeric feature (i - 1) / (n_q - 1), or `MISSING_QUANTILE`, float32 `[batch]`,
      or with another `scale` what `standardized` returns, and, if the wide part, a cross or a count
      needs it, its quantile as an int64 id `[batch]`; for a cross the ids of the combinations that have a weight, int64
      SparseTensor `[batch, any]`; for a count its combination's fingerprint, int64 `[batch]`, by which the trainer
      counts. The label, the span, the fold and `shares_label` as int64 `[batch]`, the weight and `PLACEMENT` as
      float32 `[batch]`.
    """
    config = DataSettings.from_json(custom_config[CONFIG_KEY])
    remembered = custom_config.get(REMEMBERED_KEY, {})
    return transform_features(clean(inputs, raw_rules(config)), config.spec, remembered)


def transform_features(
    inputs: dict[str, tf.SparseTensor], spec: FeatureSpec, remembered: Mapping[str, list[bytes]]
) -> dict[str, Any]:
    """`preprocessing_fn` for a feature spec; `remembered` holds the tokens of earlier spans, by vocabulary."""
    outputs: dict[str, Any] = {}
    tokens: dict[str, tf.Tensor | tf.SparseTensor] = {}
    for feature in spec.features:
        raw, needs_bucket = inputs[feature.name], spec.needs_bucket(feature)
        outputs |= KINDS_IN_GRAPH[feature.kind].compute_outputs(raw, feature, needs_bucket)
        if feature.has_ids or needs_bucket:
            tokens[feature.name] = read_tokens(raw, outputs, feature)
    for owner, rule in spec.vocabularies.items():
        _add_ids(outputs, tokens, spec, owner, rule, remembered.get(owner, []))
    for cross in spec.crosses:
        outputs[transformed_name(cross.name)] = _cross_ids(
            [tokens[name] for name in cross.features], cross, remembered.get(cross.name, [])
        )
    for count in spec.count_encodings:
        combinations = tf.strings.join([tokens[name] for name in count.features], separator=CROSS_SEPARATOR)
        outputs[transformed_name(count.key_name)] = _count_key(combinations)
    for name in (LABEL, WEIGHT, PLACEMENT):
        if name in inputs:
            outputs[name] = tf.reshape(inputs[name], [-1])
    for name, missing in ((SPAN, NO_SPAN), (FOLD, NO_FOLD), (SHARES_LABEL, 0), (LATE_LABEL, 0)):
        if name in inputs:
            outputs[name] = single_value(inputs[name], tf.constant(missing, tf.int64))
    return outputs


def _flat(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return values.values if isinstance(values, tf.SparseTensor) else values


def _add_ids(
    outputs: dict[str, Any],
    tokens: dict[str, tf.Tensor | tf.SparseTensor],
    spec: FeatureSpec,
    owner: str,
    rule: Vocabulary,
    remembered: list[bytes],
) -> None:
    """Learns one vocabulary from the tokens of all features that share it, and looks up each feature's tokens in it.

    `MISSING_TOKEN` has a row, `MISSING_ROW`, even if it never occurs in training.
    """
    sharers = spec.sharers(owner)
    if spec.has_missing_row(owner):
        missing = MISSING_TOKEN.encode()
        remembered = [missing, *(token for token in remembered if token != missing)]
    vocabulary = tft.vocabulary(
        tf.concat([_flat(tokens[f.name]) for f in sharers], axis=0),
        top_k=rule.max_size,
        frequency_threshold=rule.min_count,
        vocab_filename=vocabulary_file_name(owner),
        reserved_tokens=remembered or None,
        name=f"{owner}_vocabulary",
    )
    for f in sharers:
        outputs[transformed_name(f.name)] = tft.apply_vocabulary(
            tokens[f.name], vocabulary, num_oov_buckets=rule.num_oov_buckets, name=f"{f.name}_lookup"
        )


def as_column(values: tf.Tensor | tf.SparseTensor) -> tf.SparseTensor:
    """Texts `[batch]` as a SparseTensor `[batch, 1]`; a SparseTensor as it is."""
    if isinstance(values, tf.SparseTensor):
        return values
    size = tf.shape(values, out_type=tf.int64)[0]
    indices = tf.stack([tf.range(size), tf.zeros([size], tf.int64)], axis=1)
    return tf.SparseTensor(indices, values, tf.stack([size, 1]))


def combine_values(parts: list[tf.Tensor | tf.SparseTensor]) -> tf.SparseTensor:
    """Every combination of the values of some features, each a string `[batch]` or a SparseTensor `[batch, any]`."""
    lists = [part for part in parts if isinstance(part, tf.SparseTensor)]
    if len(lists) > 1:  # all parts are sparse, because `tf.sparse.cross` puts dense ones after the sparse ones
        return tf.sparse.cross([as_column(part) for part in parts], separator=CROSS_SEPARATOR)
    # `tf.sparse.cross` makes the same strings in three times the time.
    if not lists:
        return as_column(tf.strings.join(parts, CROSS_SEPARATOR))
    rows = lists[0].indices[:, 0]
    values = [part.values if isinstance(part, tf.SparseTensor) else tf.gather(part, rows) for part in parts]
    return tf.SparseTensor(lists[0].indices, tf.strings.join(values, CROSS_SEPARATOR), lists[0].dense_shape)


def _cross_ids(parts: list[tf.Tensor | tf.SparseTensor], cross: Cross, remembered: list[bytes]) -> tf.SparseTensor:
    """The ids of every combination of the features' values, without the combinations that have no weight."""
    combinations = combine_values(parts)
    if cross.num_hash_buckets is not None:
        ids = tf.strings.to_hash_bucket_fast(combinations.values, cross.num_hash_buckets)
        return tf.SparseTensor(combinations.indices, ids, combinations.dense_shape)
    vocabulary = tft.vocabulary(
        combinations,
        top_k=cross.max_size,
        frequency_threshold=cross.min_count,
        vocab_filename=vocabulary_file_name(cross.name),
        reserved_tokens=remembered or None,
        name=f"{cross.name}_vocabulary",
    )
    ids = tft.apply_vocabulary(combinations, vocabulary, default_value=-1, name=f"{cross.name}_lookup")
    return tf.sparse.retain(ids, ids.values >= 0)


def _count_key(combinations: tf.Tensor) -> tf.Tensor:
    """Fingerprints, from 0 to 2^63 - 2. The chance that any two of a million combinations collide is 5e-8."""
    return tf.strings.to_hash_bucket_fast(combinations, 2**63 - 1)
