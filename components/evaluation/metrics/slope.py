"""The calibration slope: by which factor a model's logits would have to be multiplied to fit the labels best.

It is b in the logistic regression of the labels on the logits t, P(label = 1) = σ(a + b t) (Cox, 1958, "Two Further
Applications of a Model for Binary Regression"). Logits that are k times too large have the slope 1 / k. A factor or a
shift of the scores changes a, and hardly b.
"""

from __future__ import annotations

import math

import numpy as np

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import LEAST_SCORE
from components.evaluation.results import Estimate

#: Newton's method takes about 6 steps; labels that the scores separate have no slope, and need more and more.
_MAX_STEPS = 30

#: The least size of a step, in logits.
_TOLERANCE = 1e-8


def calibration_slope(label: Array, weight: Array, unit: Array, score: Array) -> Estimate | None:
    """Fits the slope; None where there is none, as with one label, with one score, or with labels that are separated.

    Args:
      label: float64 `[rows]`, 0 or 1.
      weight: float64 `[rows]`, at least 0.
      unit: `[rows]`: the unit of each row, such as its user; units are the independent samples.
      score: float64 `[rows]`, in [0, 1].

    Returns:
      The slope, with its standard error over samples of units (the "sandwich" of Huber, 1967, by clusters).
    """
    total, positive = float(weight.sum()), float(weight @ label)
    if not 0 < positive < total:
        return None
    inside = np.clip(score, LEAST_SCORE, 1 - LEAST_SCORE)
    inputs = np.stack([np.ones_like(score), np.log(inside / (1 - inside))], axis=1)
    fitted = np.array([math.log(positive / (total - positive)), 0.0])
    for _ in range(_MAX_STEPS):
        predicted = 1 / (1 + np.exp(-(inputs @ fitted)))
        information = inputs.T @ (inputs * (weight * predicted * (1 - predicted))[:, None])
        if not np.linalg.cond(information) < 1 / np.finfo(np.float64).eps:  # False for NaN
            return None
        inverse = np.linalg.inv(information)
        residuals = inputs * (weight * (label - predicted))[:, None]
        step = inverse @ residuals.sum(axis=0)
        fitted = fitted + step
        if np.abs(step).max() < _TOLERANCE:
            return Estimate(float(fitted[1]), _error(inverse, residuals, unit))
    return None


def _error(inverse: Array, residuals: Array, unit: Array) -> float:
    """Returns the slope's standard error; NaN with a single unit."""
    _, number = np.unique(unit, return_inverse=True)
    of_units = np.stack([np.bincount(number, column) for column in residuals.T], axis=1)
    num_units = len(of_units)
    if num_units < 2:
        return math.nan
    variance = inverse @ (of_units.T @ of_units) @ inverse * num_units / (num_units - 1)
    return math.sqrt(variance[1, 1])
