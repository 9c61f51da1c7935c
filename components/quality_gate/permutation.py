"""By how much a model's AUC falls if one feature's values are permuted among rows (Breiman, 2001)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.scoring.scores import Rows, Scorer, checked_scores
from components.quality_gate.inputs import AucFalls
from transform.auc import auc

#: The most rows of the sample: with 2,000 of either label, an AUC of 0.7 has a standard error of 0.008.
MAX_ROWS = 4_000

#: The most rows that are scored, over all features and both models: with many features the sample is smaller.
MAX_SCORED_ROWS = 1_000_000


def auc_falls(
    rows: Rows,
    features: Mapping[str, Sequence[str]],
    exempt: Sequence[str],
    saved_model: str,
    anchor: str | None,
    seed: int = 1,
) -> AucFalls | None:
    """Measures the AUCs of a model, and of the anchor, with the values of one feature after another permuted.

    The sample has as many rows of either label, or all of the rarer one: an AUC does not depend on the shares of the
    labels. All features have the same permutation, which leaves no value in its row. Memory grows with the sample.

    Args:
      rows: The rows, of which a sample is drawn.
      features: By feature, its names in the examples.
      exempt: `AucFalls.exempt`, which is only passed on.
      saved_model: The folder of the model's SavedModel.
      anchor: The folder of the anchor's SavedModel; None if it is not compared.
      seed: The seed of the sample and of the permutation.

    Returns:
      None if no rows of both labels have a weight.

    Raises:
      ScoringError: If a model cannot score the rows.
    """
    draw, num_models = np.random.default_rng(seed), 1 if anchor is None else 2
    chosen = _sample(rows, min(MAX_ROWS, MAX_SCORED_ROWS // (num_models * (len(features) + 1))), draw)
    is_positive, weight = rows.label[chosen] == 1, rows.weight[chosen]
    if not 0 < is_positive.sum() < len(chosen):
        return None
    examples = _examples(rows, chosen)
    circle = draw.permutation(len(chosen))
    source = np.empty_like(circle)
    source[circle] = np.roll(circle, 1)

    def measured(model: str) -> tuple[float, dict[str, float]]:
        scorer = Scorer(model)

        def auc_with_others(keys: Sequence[str]) -> float:
            mixed = tf.constant([_mixed(examples[i], examples[j], keys) for i, j in enumerate(source)])
            found = auc(checked_scores(scorer(mixed), model), is_positive, weight)
            assert found is not None, "rows of both labels must have a weight"
            return found

        own = auc_with_others(())
        return own, {name: own - auc_with_others(keys) for name, keys in features.items()}

    own, falls = measured(saved_model)
    anchor_auc, anchor_falls = (None, {}) if anchor is None else measured(anchor)
    return AucFalls(len(chosen), own, falls, anchor_auc, anchor_falls, tuple(exempt))


def _sample(rows: Rows, size: int, draw: np.random.Generator) -> Array:
    """Draws rows with a weight, half of them of either label as far as there are: their numbers, ascending."""
    of_labels = [np.flatnonzero((rows.label == label) & (rows.weight > 0)) for label in (0, 1)]
    rarer = min(size // 2, *map(len, of_labels))
    drawn = [draw.choice(numbers, min(len(numbers), size - rarer), replace=False) for numbers in of_labels]
    return np.sort(np.concatenate(drawn))


def _examples(rows: Rows, chosen: Array) -> list[tf.train.Example]:
    """Reads the chosen rows, whose numbers ascend."""
    found, start = list[tf.train.Example](), 0
    for batch in rows.batches():
        first, last = np.searchsorted(chosen, [start, start + len(batch)])
        found += map(tf.train.Example.FromString, batch.numpy()[chosen[first:last] - start])
        start += len(batch)
    return found


def _mixed(row: Any, other: Any, keys: Sequence[str]) -> bytes:
    """Returns an example of a row with another row's values, or without any where that one has none."""
    mixed = tf.train.Example()
    mixed.CopyFrom(row)
    for key in keys:
        if key in other.features.feature:
            mixed.features.feature[key].CopyFrom(other.features.feature[key])
        elif key in mixed.features.feature:
            del mixed.features.feature[key]
    content: bytes = mixed.SerializeToString()
    return content
