"""Bad models as operations on the scores of a good one, and what the gate on quality does with each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

#: What the gate does with a model: its push is refused, it warns of the fault, or it says nothing of it.
Outcome = Literal["stopped", "warned", "passed"]


class Rows(NamedTuple):
    """The good model's evaluation rows.

    Attributes:
      logit: The good model's logits, float64 `[rows]`.
      label: 0 or 1, int64 `[rows]`.
      app: The app's id, bytes `[rows]`, like the next two.
      category: Its category.
      country: The user's country.
      price: The app's price, float32 `[rows]`.
    """

    logit: np.ndarray
    label: np.ndarray
    app: np.ndarray
    category: np.ndarray
    country: np.ndarray
    price: np.ndarray


class Fault(NamedTuple):
    """A bad model.

    Attributes:
      name: What is wrong.
      scores: Its scores of the good model's rows, `[rows]`.
      outcome: What the gate does.
      says: A part of the sentence that names the cause; empty if the model passes.
    """

    name: str
    scores: Callable[[Rows], np.ndarray]
    outcome: Outcome
    says: str = ""


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """The scores of logits."""
    found: np.ndarray = 1 / (1 + np.exp(-logit))
    return found


def with_mean(logit: np.ndarray, mean: float) -> np.ndarray:
    """Scores of logits plus a constant by which they have a mean, to 1e-12."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logit + middle).mean() < mean else (low, middle)
    return sigmoid(logit + low)


def _times(factor: float) -> Callable[[Rows], np.ndarray]:
    return lambda rows: np.minimum(factor * sigmoid(rows.logit), 0.999)


def _logits_times(factor: float) -> Callable[[Rows], np.ndarray]:
    return lambda rows: sigmoid(factor * rows.logit)


def _logits_times_same_mean(factor: float) -> Callable[[Rows], np.ndarray]:
    return lambda rows: with_mean(factor * rows.logit, sigmoid(rows.logit).mean())


def _noise(share: float) -> Callable[[Rows], np.ndarray]:
    """Noise of a share of the logits' standard deviation."""

    def noisy(rows: Rows) -> np.ndarray:
        draw = np.random.default_rng(1)
        return sigmoid(rows.logit + draw.normal(0, share * rows.logit.std(), len(rows.logit)))

    return noisy


def _largest(values: np.ndarray, place: int = 0) -> np.ndarray:
    """The rows with the most frequent value, or with that of another place by frequency, bool `[rows]`."""
    distinct, numbers = np.unique(values, return_counts=True)
    found: np.ndarray = values == distinct[np.argsort(-numbers, kind="stable")[place]]
    return found


def _category_reversed(rows: Rows) -> np.ndarray:
    """Reverses the order within the category that is in the middle by frequency."""
    some, scores = _largest(rows.category, 15), sigmoid(rows.logit)
    scores[some] = with_mean(-rows.logit[some], scores[some].mean())
    return scores


def _mean_by_app(rows: Rows) -> np.ndarray:
    _, app = np.unique(rows.app, return_inverse=True)
    means = np.bincount(app, sigmoid(rows.logit)) / np.bincount(app)
    return means[app]


def _few_rows(value: float) -> Callable[[Rows], np.ndarray]:
    """Gives 0.3 % of the rows another score: those of rare apps."""

    def changed(rows: Rows) -> np.ndarray:
        _, app, numbers = np.unique(rows.app, return_inverse=True, return_counts=True)
        by_frequency = np.argsort(numbers, kind="stable")
        few = by_frequency[: np.searchsorted(np.cumsum(numbers[by_frequency]), 0.003 * len(app)) + 1]
        return np.where(np.isin(app, few), value, sigmoid(rows.logit))

    return changed


def _levels(number: int) -> Callable[[Rows], np.ndarray]:
    """Replaces scores by the means of as many equally frequent levels."""

    def few(rows: Rows) -> np.ndarray:
        scores = sigmoid(rows.logit)
        bounds = np.quantile(scores, np.arange(1, number) / number)
        _, level = np.unique(np.searchsorted(bounds, scores), return_inverse=True)
        return (np.bincount(level, scores) / np.bincount(level))[level]

    return few


def _errors_that_cancel(rows: Rows) -> np.ndarray:
    some, scores = _largest(rows.country), sigmoid(rows.logit)
    mean = scores.mean()
    scores[some] = sigmoid(rows.logit[some] + 0.7)
    scores[~some] = with_mean(rows.logit[~some], (mean * len(scores) - scores[some].sum()) / (~some).sum())
    return scores


def _paid(rows: Rows) -> np.ndarray:
    return np.where(rows.price > 0, _times(2.5)(rows), sigmoid(rows.logit))


_CALIBRATION = "calibration, the mean score ÷ the share of label 1, must be 1 ± 0.15"
_SLOPE = "times those that fit the labels best (calibration slope"
_WORSE = "auc may be worse than the"

FAULTS = (
    Fault("scores × 1.3", _times(1.3), "stopped", _CALIBRATION),
    Fault("scores × 0.75", _times(0.75), "stopped", _CALIBRATION),
    Fault("logits × 0.6", _logits_times(0.6), "stopped", _SLOPE),
    Fault("logits × 0.6, same mean score", _logits_times_same_mean(0.6), "warned", _SLOPE),
    Fault("logits × 1.6", _logits_times(1.6), "stopped", _SLOPE),
    Fault("logits × 1.6, same mean score", _logits_times_same_mean(1.6), "warned", _SLOPE),
    Fault("scores of paid apps × 2.5", _paid, "stopped", "where price ≥ 0.99"),
    Fault("noise of 0.5 standard deviations on logits", _noise(0.5), "stopped", _WORSE),
    Fault("noise of 0.25 standard deviations on logits", _noise(0.25), "passed"),
    Fault("order reversed in one of 30 categories", _category_reversed, "stopped", "auc where category ="),
    Fault("each app has one score", _mean_by_app, "stopped", _WORSE),
    Fault("NaN on 0.3 % of the rows", _few_rows(np.nan), "stopped", "must be a number. Received: none"),
    Fault("scores of 0 on 0.3 % of the rows", _few_rows(0.0), "warned", ""),
    Fault("scores of 8 levels", _levels(8), "warned", ""),
    Fault("errors in countries that cancel", _errors_that_cancel, "stopped", "logloss where country = us"),
)
