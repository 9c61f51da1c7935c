"""By how much a model's AUC falls if one feature's values are permuted among rows (Breiman, 2001)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import differences
from components.evaluation.scoring.scores import BATCH_SIZE, Rows, Scorer, checked_scores
from components.quality_gate.inputs import AucFalls
from transform.auc import auc

#: The most rows of the sample: with 10,000 of either label, an AUC of 0.7 has a standard error of 0.004.
MAX_ROWS = 20_000

#: The most rows that are scored, over all features of a model: with many features the sample is smaller.
MAX_SCORED_ROWS = 1_000_000


def auc_falls(rows: Rows, features: Mapping[str, Sequence[str]], saved_model: str, seed: int = 1) -> AucFalls | None:
    """Measures the AUC of a model, and by how much it falls with the values of one feature after another permuted.

    The sample has as many rows of either label, or all of the rarer one: an AUC does not depend on the shares of the
    labels. All features have the same permutation, which leaves no value in its row. The rows are raw: what the model
    makes of a feature, such as crosses and counts, follows. Memory grows with the sample. The sample and the
    permutation depend on the rows, the number of features and the seed alone, so the falls of two models are of the
    same rows.

    Args:
      rows: The rows, of which a sample is drawn.
      features: By feature, its names in the examples.
      saved_model: The folder of the model's SavedModel.
      seed: The seed of the sample and of the permutation.

    Returns:
      The falls, with their standard errors over samples of the rows' units; None if no rows of both labels have a
      weight.

    Raises:
      ScoringError: If the model cannot score the rows.
    """
    draw = np.random.default_rng(seed)
    chosen = _sample(rows, min(MAX_ROWS, MAX_SCORED_ROWS // (len(features) + 1)), draw)
    label, weight, unit = rows.label[chosen], rows.weight[chosen], rows.unit[chosen]
    if not 0 < label.sum() < len(chosen):
        return None
    examples, scorer = _examples(rows, chosen), Scorer(saved_model)
    circle = draw.permutation(len(chosen))
    source = np.empty_like(circle)
    source[circle] = np.roll(circle, 1)

    def scores_with_others(keys: Sequence[str]) -> Array:
        mixed = [_mixed(examples[i], examples[j], keys) for i, j in enumerate(source)]
        batches = (tf.constant(mixed[start : start + BATCH_SIZE]) for start in range(0, len(mixed), BATCH_SIZE))
        return checked_scores(np.concatenate([*map(scorer, batches)]), saved_model)

    def auc_of(scores: Array) -> float:
        found = auc(scores, label == 1, weight)
        assert found is not None, "rows of both labels must have a weight"
        return found

    own = scores_with_others(())
    own_auc, falls, errors = auc_of(own), dict[str, float](), dict[str, float]()
    for name, keys in features.items():
        others = scores_with_others(keys)
        falls[name] = own_auc - auc_of(others)
        if "auc" in (found := differences(label, weight, unit, own, others)):  # else all rows are of one unit
            errors[name] = found["auc"].standard_error
    return AucFalls(len(chosen), own_auc, falls, errors=errors)


def _sample(rows: Rows, size: int, draw: np.random.Generator) -> Array:
    """Draws rows with a weight, half of them of either label as far as there are: their numbers, ascending."""
    of_labels = [np.flatnonzero((rows.label == label) & (rows.weight > 0)) for label in (0, 1)]
    rarer = min(size // 2, *map(len, of_labels))
    drawn = [draw.choice(numbers, min(len(numbers), size - rarer), replace=False) for numbers in of_labels]
    return np.sort(np.concatenate(drawn))


def _examples(rows: Rows, chosen: Array) -> list[bytes]:
    """Reads the chosen rows, whose numbers ascend."""
    found, start = list[bytes](), 0
    for batch in rows.batches():
        first, last = np.searchsorted(chosen, [start, start + len(batch)])
        found += batch.numpy()[chosen[first:last] - start].tolist()
        start += len(batch)
    return found


def _mixed(row: bytes, other: bytes, keys: Sequence[str]) -> bytes:
    """Returns an example of a row with another row's values, or without any where that one has none.

    The sample is not kept parsed, which takes far more memory.
    """
    mixed, source = tf.train.Example.FromString(row), tf.train.Example.FromString(other).features.feature
    for key in keys:
        if key in source:
            mixed.features.feature[key].CopyFrom(source[key])
        elif key in mixed.features.feature:
            del mixed.features.feature[key]
    content: bytes = mixed.SerializeToString()
    return content
