"""Rules on joined tables: their keys match the log's, and their values belong to the same keys as before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import EXAMPLES_PER_KEY, each_with_others, finding
from components.gate_records import Finding
from components.ingestion.evidence import SketchValue, TableEvidence
from transform.config.drift import Drift

#: The tables of two spans with fewer common keys are not compared.
_MIN_COMMON_KEYS = 30

#: The least agreement if the earlier spans do not show the usual one: it takes two of them.
_AGREEMENT_OF_A_FIRST_PAIR = 0.3

#: A column whose values usually agree less than this with the nearest reference span is not judged: they are not bound
#: to keys. A table whose spans have fewer keys in common is not judged by its keys.
_MIN_USUAL_AGREEMENT = 0.3

#: The numbers of keys by which values are shifted to estimate the agreement by chance.
_SHIFTS = (1, 2, 3, 5, 8)


def unmatched_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds more impressions than usual whose key is not in a table."""
    for name, table in sorted(current.ingested.tables.items()):
        num_rows = table.matched + table.unmatched
        before = [e.ingested.tables[name].unmatched_share for e in earlier if name in e.ingested.tables]
        share = table.unmatched_share
        if not before:
            if share >= 0.5:
                yield finding(
                    "max_unmatched_increase",
                    "warn",
                    name,
                    f"{share:.1%} of the impressions have a key that `{name}` does not have, and no earlier span shows "
                    "whether that is usual",
                    value=share,
                    rows=num_rows,
                )
            continue
        usual = max(before)
        by_chance = 3 * math.sqrt(EXAMPLES_PER_KEY * usual * (1 - usual) / max(num_rows, 1))
        bound = usual + settings.max_unmatched_increase + by_chance
        if share > bound:
            yield finding(
                "max_unmatched_increase",
                "stop",
                name,
                f"at most {bound:.1%} of the impressions may have a key that `{name}` does not have "
                f"(drift.max_unmatched_increase: {settings.max_unmatched_increase:g} more than the {usual:.1%} of "
                f"earlier spans). Received: {share:.1%}",
                value=share,
                bound=bound,
                rows=num_rows,
            )


def agreement_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds columns whose values belong to other keys than before, as in a table with shuffled or shifted rows.

    A table with other keys than before is one finding; without it, one says of which columns too few keys are common.
    """
    for name, table in sorted(current.ingested.tables.items()):
        before = [e.ingested.tables[name] for e in earlier if name in e.ingested.tables]
        if not before:
            continue
        lost = list(_lost_keys(name, table, before, settings))
        yield from lost
        unknown: dict[str, int] = {}
        for column in table.columns:
            now = _nearest_agreement(table, before, column)
            known_before = [other for other in before if column in other.columns]
            common = max((len(_pairs(table, other, column)) for other in known_before), default=_MIN_COMMON_KEYS)
            if common < _MIN_COMMON_KEYS:
                unknown[column] = common
            if now is None or now >= settings.min_agreement:  # higher than every bound below
                continue
            usual = [
                agreement
                for one, others in each_with_others(before)
                if (agreement := _nearest_agreement(one, others, column)) is not None
            ]
            if not usual:
                bound = _AGREEMENT_OF_A_FIRST_PAIR
            elif statistics.median(usual) < _MIN_USUAL_AGREEMENT:
                continue
            else:
                bound = settings.min_agreement * min(usual)
            if now < bound:
                yield finding(
                    "min_agreement",
                    "stop",
                    column,
                    f"the values of {column} must belong to the same keys of `{name}` as before, with an agreement of "
                    f"at least {bound:.2f} (drift.min_agreement; 0 is the agreement of values assigned at random). "
                    f"Received: {now:.2f}",
                    value=now,
                    bound=bound,
                    rows=len(table.keys),
                )
        if unknown and not lost:
            most = max(unknown.values())
            yield finding(
                "min_agreement",
                "cannot_judge",
                name,
                f"whether the values of {', '.join(unknown)} belong to the same keys of `{name}` as before cannot be "
                f"judged: it takes {_MIN_COMMON_KEYS} keys that have a value in an earlier span's sample too. "
                f"Received: at most {most} of {len(table.keys)}",
                value=most,
                bound=_MIN_COMMON_KEYS,
                rows=len(table.keys),
            )


def _lost_keys(name: str, table: TableEvidence, before: list[TableEvidence], settings: Drift) -> Iterator[Finding]:
    """Finds a table whose keys are others than before, as if all ids were made anew, in the log too."""
    now = _nearest_share_of_keys(table, before)
    usual = [
        share for one, others in each_with_others(before) if (share := _nearest_share_of_keys(one, others)) is not None
    ]
    if now is None or not usual or statistics.median(usual) < _MIN_USUAL_AGREEMENT:
        return
    bound = settings.min_agreement * min(usual)
    if now >= bound:
        return
    yield finding(
        "min_agreement",
        "stop",
        name,
        f"at least {bound:.0%} of the keys of `{name}` must be those of an earlier span, half of what is usual "
        f"(drift.min_agreement: {settings.min_agreement:g}). Received: {now:.0%}, at least {min(usual):.0%} before: "
        "as if ids were made anew, so that what was learned of them is lost",
        value=now,
        bound=bound,
        rows=len(table.keys),
    )


def _nearest_share_of_keys(table: TableEvidence, others: Sequence[TableEvidence]) -> float | None:
    """Returns the largest share of keys that a table has in common with another one; None if samples are too small.

    It is that of the smaller of the two tables, so that a table that grows or shrinks has as many as before. The
    samples are of the smallest hashes: up to the smaller of their two largest ones, both are complete.
    """
    found = []
    for other in others:
        limit = min(max(table.keys, default=0), max(other.keys, default=0))
        ours, theirs = ({key for key in of if key <= limit} for of in (table.keys, other.keys))
        if min(len(ours), len(theirs)) >= _MIN_COMMON_KEYS:
            found.append(len(ours & theirs) / min(len(ours), len(theirs)))
    return max(found, default=None)


def _nearest_agreement(table: TableEvidence, others: Sequence[TableEvidence], column: str) -> float | None:
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
    pairs = _pairs(one, other, column)
    if len(pairs) < _MIN_COMMON_KEYS:
        return None
    ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
    if all(isinstance(value, float) for value in (*ours, *theirs)):
        return _rank_correlation(ours, theirs)
    together = _mean_similarity(ours, theirs)
    by_chance = statistics.mean(_mean_similarity(ours, theirs[shift:] + theirs[:shift]) for shift in _SHIFTS)
    return None if by_chance > 0.95 else (together - by_chance) / (1 - by_chance)


def _pairs(one: TableEvidence, other: TableEvidence, column: str) -> list[tuple[SketchValue, SketchValue]]:
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
