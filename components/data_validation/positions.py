"""How far a log can tell the effect of a position from the relevance of the items that a policy put there.

A policy puts better items first, so the shares of label 1 by position confound both. Impressions that were placed by
chance do not: there, each position has the same items on average. Of these, the log-odds of label 1 at position k is

    l_k = ln(s_k / (1 - s_k)),   se(l_k)² = 1 / (n_k s_k) + 1 / (n_k (1 - s_k))      (Woolf, 1955),

with n_k impressions, of which a share s_k has label 1. One half is added to both numbers (Haldane, 1956), so that none
is 0. The contrast of the last position against the first has the standard error √(se(l_last)² + se(l_first)²). It falls
with the square root of the number of impressions, so that a standard error of e needs (se / e)² times as many.

Where the log has each impression's chance p, an impression counts w = 1 / p: s_k is then the share Σ w y / Σ w, and n_k
the effective size (Σ w)² / Σ w² (Kish, 1965). An impression with p = 1 was not placed by chance, and counts 0.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from components.data_validation.columns import Columns, Floats, Ints
from transform.config.component_settings import DataSettings
from transform.feature import Feature
from transform.positions import bucket_names, buckets_of, effective_size

_STRICT = ConfigDict(extra="forbid")

#: Of a categorical position, at most so many values are measured, the most frequent ones: a record is stored for years.
_MAX_VALUES = 100

#: Of a normal distribution, 95 % are within so many standard deviations.
OF_95_PERCENT = 1.96


@dataclass(frozen=True, config=_STRICT)
class PositionCounts:
    """The examples at one position.

    Attributes:
      name: The position.
      rows: The number of examples.
      positives: The number of those with label 1.
      by_chance: The number of those that were placed by chance, or the effective size of their weights.
      share: The share of label 1 among these; 0 if there are none.
    """

    name: str
    rows: int
    positives: int
    by_chance: float
    share: float

    @property
    def log_odds(self) -> float:
        """The log-odds of label 1 among the examples placed by chance."""
        return math.log((self.by_chance * self.share + 0.5) / (self.by_chance * (1 - self.share) + 0.5))

    @property
    def error(self) -> float:
        """The standard error of `log_odds`."""
        return log_odds_error(self.by_chance, self.share)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `log_odds`, by the normal distribution."""
        return self.log_odds - OF_95_PERCENT * self.error, self.log_odds + OF_95_PERCENT * self.error


@dataclass(frozen=True, config=_STRICT)
class PositionEvidence:
    """The examples by position, of a feature with `at_serving`.

    Attributes:
      feature: The feature.
      positions: The positions that the examples have, in their order: numbers from the lowest, texts that are all
        numbers too, and other texts by the alphabet.
    """

    feature: str
    positions: tuple[PositionCounts, ...]

    @property
    def rows(self) -> int:
        return sum(p.rows for p in self.positions)

    @property
    def by_chance(self) -> float:
        return sum(p.by_chance for p in self.positions)

    @property
    def positives_by_chance(self) -> float:
        return sum(p.by_chance * p.share for p in self.positions)

    @property
    def share_by_chance(self) -> float:
        return self.by_chance / self.rows if self.rows else 0.0

    @property
    def error(self) -> float:
        """The standard error of the contrast of the last position against the first; infinite if it cannot be told."""
        if len(self.positions) < 2 or not all(p.by_chance for p in self._ends):
            return math.inf
        return math.hypot(*(p.error for p in self._ends))

    @property
    def _ends(self) -> tuple[PositionCounts, PositionCounts]:
        return self.positions[0], self.positions[-1]

    def least_share(self, error: float) -> float | None:
        """Returns the least share of the impressions to place by chance for a standard error of the contrast.

        From the contrast's own standard error or, if it has none, from all impressions at both ends: their shares of
        label 1, as the policy has placed them, are the best guess then.

        Args:
          error: The standard error.

        Returns:
          The share, from 0 to 1; None if there is one position only, or all impressions were too few.
        """
        if len(self.positions) < 2:
            return None
        share, now = self.share_by_chance, self.error
        if math.isinf(now):
            share, now = 1.0, math.hypot(*(log_odds_error(p.rows, p.positives / p.rows) for p in self._ends))
        least = share * (now / error) ** 2
        return least if least <= 1 else None


def log_odds_error(number: float, share: float) -> float:
    """Returns the standard error of the log-odds of a share of a number of impressions.

    Of 1,000 with a share of 0.05 it is √(1 / 50.5 + 1 / 950.5) = 0.144.
    """
    return math.sqrt(1 / (number * share + 0.5) + 1 / (number * (1 - share) + 0.5))


def measure_positions(columns: Columns, config: DataSettings, num_rows: int) -> PositionEvidence | None:
    """Counts the examples by the position of the feature with `at_serving`; None without one.

    Args:
      columns: The examples; without `placement`, as of an earlier release's, none was placed by chance.
      config: The deployment.
      num_rows: How many examples there are, of which these may be a random sample: the counts are of all.
    """
    feature, log = config.spec.at_serving, config.sources.impressions
    if feature is None:
        return None
    names, codes = _positions(feature, columns)
    placement = np.zeros(len(codes)) if columns.placement is None else columns.placement
    weights = placement if log.propensity is None else np.where(placement < 1, 1 / np.maximum(placement, 1e-12), 0.0)
    factor = num_rows / max(1, len(codes))
    counts = (_counts(name, codes == code, columns.label, weights, factor) for code, name in enumerate(names))
    return PositionEvidence(feature.name, tuple(found for found in counts if found.rows))


def _positions(feature: Feature, columns: Columns) -> tuple[list[str], Ints]:
    """Returns the positions' names in their order, and that of each example; a code without a name for no position."""
    if not feature.has_ids:
        boundaries = feature.boundaries or ()
        return bucket_names(boundaries), buckets_of(columns.numbers[feature.name], boundaries)
    tokens = columns.tokens[feature.name]
    numbers = np.bincount(tokens.codes, minlength=len(tokens.values))
    frequent = np.argsort(-numbers, kind="stable")[:_MAX_VALUES].tolist()
    are_numbers = all(tokens.values[code].isdecimal() for code in frequent)
    order = sorted(frequent, key=lambda code: (int(tokens.values[code]) if are_numbers else 0, tokens.values[code]))
    place = np.full(len(tokens.values) + 1, -1)  # the last is that of a missing value
    place[order] = np.arange(len(order))
    return [tokens.values[code] for code in order], place[tokens.of_rows()]


def _counts(name: str, here: np.ndarray, label: Ints, weights: Floats, factor: float) -> PositionCounts:
    of_label, of_weight = label[here], weights[here]
    total = float(of_weight.sum())
    share = float(of_weight @ of_label) / total if total else 0.0
    rows, positives = round(factor * int(here.sum())), round(factor * int(of_label.sum()))
    return PositionCounts(name, rows, positives, factor * effective_size(of_weight), share)
