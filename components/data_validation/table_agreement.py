"""The agreement of a table's values with those of the same keys in another span."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from components.ingestion.evidence import SketchValue, TableEvidence

#: The tables of two spans with fewer common keys are not compared.
MIN_COMMON_KEYS = 30

#: The numbers of keys by which values are shifted to estimate the agreement by chance.
_SHIFTS = (1, 2, 3, 5, 8)


def nearest_agreement(table: TableEvidence, others: Sequence[TableEvidence], column: str) -> float | None:
    """Returns the best agreement with any of the other tables; None if none is comparable."""
    found = [a for other in others if (a := agreement(table, other, column)) is not None]
    return max(found, default=None)


def agreement(one: TableEvidence, other: TableEvidence, column: str) -> float | None:
    """Returns the agreement of a column's values of the same keys: 1 if all are equal, 0 if no more than by chance.

    The agreement of numbers is their rank correlation. The agreement a of strings is the share of equal ones, and of
    lists the mean share of common strings. Both are corrected for the agreement of values of other keys, as in Cohen's
    κ: (a - chance) / (1 - chance).

    Args:
      one: A table.
      other: The same table of another span.
      column: A feature; the result is None unless both tables have it.

    Returns:
      From -1 to 1; None if there are too few common keys, or nearly all values are equal.
    """
    pairs = common_pairs(one, other, column)
    if len(pairs) < MIN_COMMON_KEYS:
        return None
    ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
    if all(isinstance(value, float) for value in (*ours, *theirs)):
        return _rank_correlation(ours, theirs)
    together = _mean_similarity(ours, theirs)
    by_chance = statistics.mean(_mean_similarity(ours, theirs[shift:] + theirs[:shift]) for shift in _SHIFTS)
    return None if by_chance > 0.95 else (together - by_chance) / (1 - by_chance)


def common_pairs(one: TableEvidence, other: TableEvidence, column: str) -> list[tuple[SketchValue, SketchValue]]:
    """Returns a column's values of the keys that have one in both tables; none unless both have the column."""
    if column not in one.columns or column not in other.columns:
        return []
    at, other_at = one.columns.index(column), other.columns.index(column)
    return [
        (one.keys[key][at], other.keys[key][other_at])
        for key in sorted(set(one.keys) & set(other.keys))
        if one.keys[key][at] is not None and other.keys[key][other_at] is not None
    ]


def _mean_similarity(ours: Sequence[SketchValue], theirs: Sequence[SketchValue]) -> float:
    return statistics.mean(map(_similarity, ours, theirs))


def _similarity(one: SketchValue, other: SketchValue) -> float:
    """Returns 1 or 0 for strings; for lists the Jaccard similarity: common strings divided by all strings."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        either = set(one) | set(other)
        return len(set(one) & set(other)) / len(either) if either else 1.0
    return float(one == other)


def _rank_correlation(ours: Sequence[SketchValue], theirs: Sequence[SketchValue]) -> float | None:
    """Returns Spearman's rank correlation, with mean ranks for ties; None if nearly all values of a side are equal."""
    ranks = []
    for values in (ours, theirs):
        _, inverse, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
        if counts.max() > 0.95 * len(values):
            return None
        ends = np.cumsum(counts)
        ranks.append((ends - (counts - 1) / 2)[inverse])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
