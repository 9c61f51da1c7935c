"""The area under the ROC curve of one set of examples, exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def auc(scores: npt.NDArray[Any], is_positive: npt.NDArray[np.bool_], weights: npt.NDArray[Any]) -> float | None:
    """Returns the weight of the pairs of a positive and a negative that are in order, divided by that of all pairs.

    A pair is in order if the positive's score is higher; a tie is half a pair. A pair's weight is the product of its
    two examples' weights.

    Args:
      scores: `[n]`.
      is_positive: Whether an example has label 1, `[n]`.
      weights: Not negative, `[n]`.

    Returns:
      None unless both labels have weight, and all scores are finite.
    """
    weights = weights.astype(np.float64)
    all_pairs = weights[is_positive].sum() * weights[~is_positive].sum()
    if all_pairs == 0 or not np.isfinite(scores).all():
        return None
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each group of ties
    positives = np.add.reduceat((weights * is_positive)[order], starts)
    negatives = np.add.reduceat((weights * ~is_positive)[order], starts)
    lower = np.cumsum(negatives) - negatives
    return float((positives * (lower + negatives / 2)).sum() / all_pairs)
