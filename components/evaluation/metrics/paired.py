"""Differences of two models' metrics on the same rows, with their standard errors.

AUC and log loss are means of one contribution per row (for AUC the placement values of DeLong et al., 1988), so the
standard error of a difference follows from the differences of the contributions, without resampling. Rows of one unit,
such as a request or a user, are not independent: their contributions are summed first (Obuchowski, 1997).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from components.evaluation.metrics.bootstrap import Array

#: Scores are clipped to at least this distance from 0 and 1 in a log loss, as in Keras.
LEAST_SCORE = 1e-7


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PairedDifference:
    """A metric of one model minus that of another on the same rows.

    Attributes:
      estimate: The difference.
      standard_error: The standard error of the estimate over samples of units.
    """

    estimate: Annotated[float, Field(allow_inf_nan=False)]
    standard_error: Annotated[float, Field(ge=0, allow_inf_nan=False)]


def compute_metrics(label: Array, weight: Array, score: Array) -> dict[str, float]:
    """Computes a model's `auc`, `logloss`, `calibration` and `mean_label`; undefined metrics are left out.

    Args:
      label: float64 `[rows]`, 0 or 1.
      weight: float64 `[rows]`.
      score: float64 `[rows]`.
    """
    total, positive = float(weight.sum()), float(weight @ label)
    if total == 0:
        return {}
    found = {"mean_label": positive / total}
    if positive > 0:
        found["calibration"] = float(weight @ score) / positive
    if 0 < positive < total:
        found["auc"] = float(weight @ (label * _placements(label, weight, score))) / positive
    found["logloss"] = float(weight @ log_losses(label, score)) / total
    return found


def differences(label: Array, weight: Array, unit: Array, score: Array, other: Array) -> dict[str, PairedDifference]:
    """Computes the differences of `auc` and `logloss`, a model's minus another's; empty if a class is missing.

    Args:
      label: float64 `[rows]`, 0 or 1.
      weight: float64 `[rows]`.
      unit: `[rows]`: the unit of each row, such as its request; units are the independent samples.
      score: The model's scores, float64 `[rows]`.
      other: The other model's scores, float64 `[rows]`.
    """
    positive = float(weight @ label)
    if not 0 < positive < float(weight.sum()):
        return {}
    _, number = np.unique(unit, return_inverse=True)
    of_classes = np.where(label == 1, positive, float(weight.sum()) - positive)
    contributions: Mapping[str, tuple[Array, Array]] = {
        "auc": (_placements(label, weight, score) - _placements(label, weight, other), weight / of_classes),
        "logloss": (log_losses(label, score) - log_losses(label, other), weight / weight.sum()),
    }
    found = {}
    for name, (values, shares) in contributions.items():
        # The AUC is the mean of either class's placements: the mean over positives is the difference.
        mean = float(shares[label == 1] @ values[label == 1]) if name == "auc" else float(shares @ values)
        by_unit = np.bincount(number, weights=shares * (values - mean))
        num_units = len(by_unit)
        error = math.sqrt(float(by_unit @ by_unit) * num_units / (num_units - 1)) if num_units > 1 else math.inf
        if math.isfinite(error):
            found[name] = PairedDifference(mean, error)
    return found


def _placements(label: Array, weight: Array, score: Array) -> Array:
    """Returns each row's placement, float64 `[rows]`: the weighted share of the other class that is ranked correctly.

    That is the share below a positive, or above a negative. Ties count half.
    """
    order = np.argsort(score, kind="stable")
    _, first, tied = np.unique(score[order], return_index=True, return_inverse=True)
    weights = np.stack([weight * (label == 0), weight * (label == 1)])[:, order]
    of_values = np.add.reduceat(weights, first, axis=1)
    below = np.cumsum(of_values, axis=1) - of_values / 2
    totals = of_values.sum(axis=1)
    placed = np.where(label[order] == 1, below[0][tied] / totals[0], 1 - below[1][tied] / totals[1])
    result: Array = np.empty_like(placed)
    result[order] = placed
    return result


def log_losses(label: Array, score: Array) -> Array:
    """Returns the log loss of each row, in nats, float64 `[rows]`."""
    inside = np.clip(score, LEAST_SCORE, 1 - LEAST_SCORE)
    losses: Array = -np.log(np.where(label == 1, inside, 1 - inside))
    return losses
