"""What a training learned of the position: the tower's curve, or how many examples the weights are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.training.data import inverse_propensities, placements
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from transform.feature import MISSING_TOKEN, Feature
from transform.feature_spec import FeatureSpec
from transform.positions import LearnedPositions, bucket_names, effective_size


def tower_curve(model: WideDeep, spec: FeatureSpec, transform_state: TransformState) -> LearnedPositions | None:
    """Returns what the tower of a model adds to the logit, by position; None for a model without a tower."""
    feature, tower = spec.at_serving, model.tower
    if feature is None or tower is None:
        return None
    rows = _values(spec, feature, transform_state)
    logits = (tower(tf.constant(list(rows.values()), tf.int64)) - tower.fixed_logit()).numpy()
    fixed = {row: name for name, row in rows.items()}[tower.fixed_row]
    return LearnedPositions(feature=feature.name, values=tuple(rows), logits=tuple(map(float, logits)), fixed=fixed)


def weighed(spec: FeatureSpec, files: Sequence[str], parsing: Mapping[str, object]) -> LearnedPositions | None:
    """Returns how much the weights of the training examples are worth; None without weights.

    Args:
      spec: The features.
      files: The files of the training examples.
      parsing: As in `train_dataset`.
    """
    feature = spec.at_serving
    if feature is None or (clip := feature.largest_weight) is None:
        return None
    chances = placements(files, parsing)
    weights = inverse_propensities(tf.constant(chances), clip).numpy().astype(np.float64)
    return LearnedPositions(
        feature=feature.name,
        num_weighted=weights.size,
        effective_size=effective_size(weights),
        num_clipped=int((chances < 1 / clip).sum()),
    )


def _values(spec: FeatureSpec, feature: Feature, transform_state: TransformState) -> dict[str, int]:
    """The rows of the tower's values, by name; without those of missing and unknown values."""
    if not feature.has_ids:
        return {name: row for row, name in enumerate(bucket_names(feature.boundaries or ()))}
    tokens = [bytes(token).decode() for token in transform_state.vocabularies[spec.vocabulary_owner(feature).name]]
    return {token: row for row, token in enumerate(tokens) if token != MISSING_TOKEN}
