"""Measures on a sample by how much a combination of features predicts the label better than the features alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from components.data_validation.columns import Floats, Ints, Tokens
from components.data_validation.label_aucs import halves

#: The prior of a cell's weight, in curvature: that of eight rows with p = 1/2.
_PRIOR_CURVATURE = 2.0

#: Of the candidates that are measured first, so many of the best are measured again beside those that were taken.
_MAX_KEPT = 20

#: A smaller standard error, as of rows that all gain the same, is rounding.
_MIN_ERROR = 1e-9

_Key = TypeVar("_Key")


class Gain(NamedTuple):
    """By how much weights of cells lower the log loss of the features alone.

    Attributes:
      logloss: By how much the mean log loss of a row is lower.
      errors: The same in standard errors of this mean.
    """

    logloss: float
    errors: float


class AdditiveModel:
    """Two logistic regressions on all features one by one, each of one half of the rows; halves are those of requests.

    A number is read as its quantile, a list by the mean over its values. What a regression of one half, and weights of
    cells beside it, learned from that half is measured on the other half.

    Args:
      label: 0 or 1, int64 `[rows]`; both occur in each half.
      request: A code of each row's request, int64 `[rows]`.
      features: The features' values.
    """

    def __init__(self, label: Ints, request: Ints, features: Mapping[str, Tokens]) -> None:
        self._label, self._half = label, halves(request)
        inputs = sparse.hstack([_one_hot(tokens) for tokens in features.values()], "csr")
        fits = [LogisticRegression(max_iter=100).fit(inputs[self._half == h], label[self._half == h]) for h in (0, 1)]
        #: By the half learned from: the logits of all rows.
        self._logits = np.stack([fit.decision_function(inputs) for fit in fits])

    def gain(self, cells: Tokens) -> Gain:
        """Returns what one weight for each cell gains, measured on the half that it was not learned from."""
        return self._gain_of(self._effect(cells))

    def choose(
        self, candidates: Mapping[_Key, Tokens], most: int, min_errors: float, min_gain: float = 0.0
    ) -> dict[_Key, Gain]:
        """Takes the candidate with the largest gain, then the one with the largest gain beside it, and so on.

        Args:
          candidates: The cells of each.
          most: The most that are taken.
          min_errors: The least gain in standard errors.
          min_gain: The least gain in log loss.

        Returns:
          The gains, in the order of taking.
        """
        gains = {key: self.gain(cells) for key, cells in candidates.items()}
        kept = [key for key in gains if gains[key].errors >= min_errors and gains[key].logloss >= min_gain]
        left, taken = sorted(kept, key=lambda key: -gains[key].logloss)[:_MAX_KEPT], dict[_Key, Gain]()
        while left and len(taken) < most:
            gains = {key: self.gain(candidates[key]) for key in left}
            best = max(left, key=lambda key: gains[key].logloss)
            if gains[best].errors < min_errors or gains[best].logloss < min_gain:
                break
            taken[best] = gains[best]
            left.remove(best)
            self._logits = self._logits + self._effect(candidates[best])
        return taken

    def _effect(self, cells: Tokens) -> Floats:
        """Returns what the cells add to the logits, float64 `[2, rows]`: one Newton step from 0, with a prior."""
        size, half = len(cells.values), self._half[cells.rows]
        num_values = np.maximum(1, np.bincount(cells.rows, minlength=cells.num_rows))
        effects = []
        for learned, logits in enumerate(self._logits):
            p = 1 / (1 + np.exp(-logits))
            of = half == learned
            parts = [values[cells.rows[of]] for values in (self._label - p, p * (1 - p))]
            gradient, curvature = (np.bincount(cells.codes[of], values, size) for values in parts)
            weights = gradient / (curvature + _PRIOR_CURVATURE)
            effects.append(np.bincount(cells.rows, weights[cells.codes], cells.num_rows) / num_values)
        return np.stack(effects)

    def _gain_of(self, effect: Floats) -> Gain:
        rows = np.arange(len(self._label))
        before, added = (values[1 - self._half, rows] for values in (self._logits, effect))
        sign = 1 - 2 * self._label
        gain = np.logaddexp(0, sign * before) - np.logaddexp(0, sign * (before + added))
        mean, error = float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))
        return Gain(mean, mean / max(error, _MIN_ERROR))


def crossed(first: Tokens, second: Tokens) -> Tokens:
    """Returns the cells of two features, at most one of them a list: a cell for each pair of values that occurs."""
    is_list = len(np.unique(second.rows)) < len(second.rows)
    lists, single = (second, first.of_rows()) if is_list else (first, second.of_rows())
    other = single[lists.rows]
    kept = other >= 0
    pairs = lists.codes[kept] * (int(single.max(initial=0)) + 1) + other[kept]
    found, codes = np.unique(pairs, return_inverse=True)
    return Tokens([str(pair) for pair in found.tolist()], codes.astype(np.int64), lists.rows[kept], lists.num_rows)


def _one_hot(tokens: Tokens) -> sparse.csr_matrix:
    shares = 1 / np.maximum(1, np.bincount(tokens.rows, minlength=tokens.num_rows))
    shape = (tokens.num_rows, len(tokens.values))
    return sparse.csr_matrix((shares[tokens.rows], (tokens.rows, tokens.codes)), shape)
