"""Exact metrics of the data and of each of its bootstrap replicates, from columns of rows.

A replicate is a weight per unit, so a metric made of sums over units is computed as the product of those sums and the
weights. What does not add up comes last (`metrics_of`, `means_of`): until then rows are measured in parts, by ranges of
their scores (`of_range`), or groups by any ranges (`sums_of_groups`).

The replicates are computed in blocks with at most `_BLOCK_ENTRIES` row weights each, but at least one replicate. So the
memory beyond the columns themselves grows with the rows of a range, not with the replicates. In bytes a row: 32 for
each model's ranking and calibration bins, 48 if most rows are positives with different scores; about 100 while one
model's are made; and 16 for a block, from `_BLOCK_ENTRIES` rows on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from components.evaluation.metrics import bootstrap
from components.evaluation.metrics.areas import NUM_AREAS, Areas, Around
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import log_losses

#: The number of row weights held at once: 8 MB, about the size of a processor's cache. 100,000 rows take 0.5 s, and
#: 2.5 s with four times as many weights at once.
_BLOCK_ENTRIES = 1_000_000

#: What `of_rows` computes.
ROW_METRICS = (
    "auc", "auc_pr", "logloss", "accuracy", "calibration", "calibration_error", "mean_prediction", "mean_label",
)  # fmt: skip

#: A score from this one on predicts label 1, unless the config says otherwise.
ACCURACY_THRESHOLD = 0.5

#: The names of the sums of a range.
TOTALS, AREAS = "totals", "areas"

#: The number of sums of which the metrics that are ratios are made.
NUM_TOTALS = 5


class Drawn:
    """How often units occur in all replicates, once for all slices of their rows: 201 bytes a unit.

    Args:
      units: The units' hashes; some may be equal.
    """

    def __init__(self, units: Array):
        self._hashes = np.unique(units)
        blocks = (of_units for _, of_units in _blocks(self._hashes, len(self._hashes)))
        self._of_units = np.concatenate(list(blocks), axis=1)

    def of(self, hashes: Array) -> Array:
        """Returns how often some of the units occur, uint8 `[len(hashes), 1 + NUM_REPLICATES]`."""
        found: Array = self._of_units[np.searchsorted(self._hashes, hashes)]
        return found


def _blocks(hashes: Array, num_rows: int, drawn: Drawn | None = None) -> Iterator[tuple[slice, Array]]:
    """Yields blocks of replicates 0 to `NUM_REPLICATES`: their slice, and the units' weights.

    The weights, `[num_units, some]`, are whole numbers below 19, uint8: those of a million units fit into a processor's
    cache, from which the rows then take them.
    """
    known = None if drawn is None else drawn.of(hashes)
    at_once = max(1, _BLOCK_ENTRIES // max(num_rows, 1))
    for first in range(0, 1 + bootstrap.NUM_REPLICATES, at_once):
        some = range(first, min(first + at_once, 1 + bootstrap.NUM_REPLICATES))
        place = slice(some.start, some.stop)
        if known is None:
            yield place, bootstrap.replicate_weights(hashes, some).astype(np.uint8)
        else:
            yield place, np.ascontiguousarray(known[:, place])


def sums_of_groups(units: Array, values: Array, weights: Array, drawn: Drawn | None = None) -> Array:
    """Computes the sums of which weighted means over groups are made, such as of the requests' NDCG.

    Args:
      units: The hash of the unit that each group belongs to, shape `[num_groups]`.
      values: float64 `[num_groups, ...]`; several columns for several means.
      weights: The weight of each value in its mean, of the same shape.
      drawn: How often the units occur, if that is known.

    Returns:
      float64 `[2, 1 + NUM_REPLICATES, ...]`: of weighted values, and of weights. Those of parts of the groups add up.
    """
    hashes, unit = np.unique(units, return_inverse=True)
    flat = (len(units), -1)
    columns = np.concatenate([(values * weights).reshape(flat), weights.reshape(flat)], axis=1)
    sums = np.zeros((len(hashes), columns.shape[1]))
    np.add.at(sums, unit, columns)
    blocks = (of_units for _, of_units in _blocks(hashes, len(hashes), drawn))
    of_replicates = np.concatenate([_product_on_one_thread(of_units.T, sums) for of_units in blocks])
    found: Array = np.stack(np.split(of_replicates, 2, axis=1)).reshape(2, -1, *values.shape[1:])
    return found


def means_of(sums: Array) -> Array:
    """Returns the means, float64 `[1 + NUM_REPLICATES, ...]`, of `sums_of_groups`; NaN where the total weight is 0."""
    with np.errstate(invalid="ignore"):
        means: Array = sums[0] / sums[1]
    return means


def of_range(
    units: Array,
    labels: Array,
    weights: Array,
    scores: Array,
    accuracy_threshold: float | None,
    around: Sequence[Around] | None,
    drawn: Drawn | None = None,
) -> list[dict[str, Array]]:
    """Computes sums over rows of a range of scores, or over all rows; those of all ranges add up.

    Args:
      units: The hash of the unit that each row belongs to, `[num_rows]`.
      labels: 0 or 1, float64 `[num_rows]`.
      weights: At least 0, float64 `[num_rows]`.
      scores: float64 `[num_rows, num_models]`.
      accuracy_threshold: A score from this one on predicts label 1; None if `TOTALS` are not asked for.
      around: For each model, what the rows outside of the range sum up to; None if `AREAS` are not asked for.
      drawn: How often the units occur, if that is known.

    Returns:
      For each model: as `TOTALS`, the sums of the weights of positives and of negatives, and of the weighted losses,
      hits and scores, float64 `[5, 1 + NUM_REPLICATES]`, NaN if a score is; as `AREAS`, the sums of
      `components.evaluation.metrics.areas.Areas`, 0 if a score in the range or around it is NaN.
    """
    hashes, unit = np.unique(units, return_inverse=True)
    found: list[dict[str, Array]] = [{} for _ in scores.T]
    parts: list[tuple[Array, Callable[[slice, Array], Array]]] = []
    for model, of_model in enumerate(scores.T):
        has_nan = bool(np.isnan(of_model).any())
        if accuracy_threshold is not None:
            totals = found[model][TOTALS] = np.full((NUM_TOTALS, 1 + bootstrap.NUM_REPLICATES), np.nan)
            if not has_nan:
                sums = _sums_of_units(unit, len(hashes), labels, weights, of_model, accuracy_threshold)
                parts.append((totals, functools.partial(_product_of_units, sums)))
        if around is not None:
            areas = found[model][AREAS] = np.zeros((NUM_AREAS, 1 + bootstrap.NUM_REPLICATES))
            if not has_nan and not np.isnan(around[model].weight):
                parts.append((areas, Areas(unit, labels, weights, of_model, around[model])))
    if parts:
        for place, of_units in _blocks(hashes, len(units), drawn):
            for target, part in parts:
                target[:, place] = part(place, of_units)
    return found


def of_rows(
    units: Array, labels: Array, weights: Array, scores: Array, accuracy_threshold: float = ACCURACY_THRESHOLD
) -> dict[str, Array]:
    """Computes the metrics of single rows, `ROW_METRICS`.

    Args:
      units: The hash of the unit that each row belongs to, float64 `[num_rows]`.
      labels: 0 or 1, float64 `[num_rows]`.
      weights: At least 0, float64 `[num_rows]`.
      scores: float64 `[num_rows, num_models]`. A NaN makes all metrics of its model NaN.
      accuracy_threshold: A score from this one on predicts label 1.

    Returns:
      By metric, float64 `[1 + NUM_REPLICATES, num_models]`; NaN where the metric is undefined.
    """
    alone = [Around.nothing(float(weights.sum()))] * scores.shape[1]
    return metrics_of(of_range(units, labels, weights, scores, accuracy_threshold, alone))


def metrics_of(models: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Returns the metrics, as `of_rows` does, of each model's sums over all rows, `TOTALS` and `AREAS`."""
    found = []
    for of_model in models:
        positive, negative, loss, hits, predicted = of_model[TOTALS]
        auc, auc_pr, bins = of_model[AREAS][0], of_model[AREAS][1], of_model[AREAS][2:]
        weight = positive + negative
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(
                {
                    "auc": auc / (positive * negative),
                    "auc_pr": np.where(negative > 0, auc_pr / positive, np.nan),
                    "logloss": loss / weight,
                    "accuracy": hits / weight,
                    "calibration": np.where(positive > 0, predicted / positive, np.nan),
                    "calibration_error": np.abs(bins).sum(axis=0) / weight,
                    "mean_prediction": predicted / weight,
                    "mean_label": positive / weight,
                }
            )
    return {name: np.stack([of_model[name] for of_model in found], axis=1) for name in ROW_METRICS}


def _product_on_one_thread(left: Array, right: Array) -> Array:
    """The product of two matrices, on one thread: for small matrices, BLAS's threads mostly wait for each other."""
    product: Array = np.einsum("ij,jk->ik", left.astype(np.float64, copy=False), right.astype(np.float64, copy=False))
    return product


def _sums_of_units(
    unit: Array, num_units: int, labels: Array, weights: Array, scores: Array, accuracy_threshold: float
) -> Array:
    """Returns, by unit, the sums of which `TOTALS` are made, `[NUM_TOTALS, num_units]`."""
    losses = log_losses(labels, scores)
    hits = (scores >= accuracy_threshold) == (labels == 1)
    return np.stack([np.bincount(unit, weights * x, num_units) for x in (labels, 1 - labels, losses, hits, scores)])


def _product_of_units(sums: Array, place: slice, of_units: Array) -> Array:
    del place
    return _product_on_one_thread(sums, of_units)
