"""Rules on joined tables: their keys match the log's, and their values belong to the same keys as before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import EXAMPLES_PER_KEY, each_with_others, finding
from components.data_validation.table_agreement import MIN_COMMON_KEYS, common_pairs, nearest_agreement
from components.gate_records import Finding
from components.ingestion.evidence import SketchValue, TableEvidence
from transform.config.drift import Drift

#: The least agreement if the earlier spans do not show the usual one: it takes two of them.
_AGREEMENT_OF_A_FIRST_PAIR = 0.3

#: A column whose values usually agree less than this with the nearest reference span is not judged: they are not bound
#: to keys. A table whose spans have fewer keys in common is not judged by its keys.
_MIN_USUAL_AGREEMENT = 0.3

#: Strings whose agreement is this much less than in any reference span belong, in part, to other keys.
_LESS_AGREEMENT = 0.1

#: Numbers are a multiple of those before if their median logarithm has changed by this (1 %), and this many times as
#: much as among the reference spans.
_MIN_FACTOR, _TIMES_USUAL = 0.01, 3.0

#: Missing values are filled if this share of at least so many keys without a value has one at once.
_MIN_FILLED, _MIN_MISSING = 0.5, 8


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
            known_before = [other for other in before if column in other.columns]
            common = max((len(common_pairs(table, other, column)) for other in known_before), default=MIN_COMMON_KEYS)
            if common < MIN_COMMON_KEYS:
                unknown[column] = common
            yield from _agreement_of(column, name, table, before, settings)
            yield from _changed_values(name, table, known_before, column)
        if unknown and not lost:
            most = max(unknown.values())
            yield finding(
                "min_agreement",
                "cannot_judge",
                name,
                f"whether the values of {', '.join(unknown)} belong to the same keys of `{name}` as before cannot be "
                f"judged: it takes {MIN_COMMON_KEYS} keys that have a value in an earlier span's sample too. "
                f"Received: at most {most} of {len(table.keys)}",
                value=most,
                bound=MIN_COMMON_KEYS,
                rows=len(table.keys),
            )


def _agreement_of(
    column: str, name: str, table: TableEvidence, before: Sequence[TableEvidence], settings: Drift
) -> Iterator[Finding]:
    """Finds a column with less agreement than before; of strings, a smaller loss is a warning."""
    now = nearest_agreement(table, before, column)
    if now is None or now >= max(settings.min_agreement, 1 - _LESS_AGREEMENT):  # higher than every bound below
        return
    usual = [
        found
        for one, others in each_with_others(before)
        if (found := nearest_agreement(one, others, column)) is not None
    ]
    if usual and statistics.median(usual) < _MIN_USUAL_AGREEMENT:
        return
    bound = settings.min_agreement * min(usual) if usual else _AGREEMENT_OF_A_FIRST_PAIR
    is_string = isinstance(_any_value(table, column), int)
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
    elif is_string and now < min(usual, default=0.0) - _LESS_AGREEMENT:
        yield finding(
            "min_agreement",
            "warn",
            column,
            f"some values of {column} belong to other keys of `{name}` than before: their agreement is {now:.2f}, "
            f"before at least {min(usual):.2f}, as if rows had the features of other ones",
            value=now,
            bound=min(usual) - _LESS_AGREEMENT,
            rows=len(table.keys),
        )


def _changed_values(name: str, table: TableEvidence, before: Sequence[TableEvidence], column: str) -> Iterator[Finding]:
    """Finds numbers that are a multiple of those of the same keys before, and keys that all have a value at once."""
    factor, filled = _change(table, before, column)
    usual = [_change(one, others, column) for one, others in each_with_others(before)]
    largest = max((abs(change) for change, _ in usual), default=0.0)
    bound = max(_MIN_FACTOR, _TIMES_USUAL * largest)
    if len(usual) > 1 and abs(factor) > bound:
        yield finding(
            "min_agreement",
            "warn",
            column,
            f"the values of {column} are {math.exp(factor):.3g} times those of the same keys of `{name}` before, in "
            f"the median, usually at most {math.exp(largest):.4g} times: their unit or count may have changed, or they "
            "are of another time than the span",
            value=math.exp(factor),
            bound=math.exp(math.copysign(bound, factor)),
            rows=len(table.keys),
        )
    if len(usual) > 1 and filled > max(_MIN_FILLED, _TIMES_USUAL * max(share for _, share in usual)):
        yield finding(
            "min_agreement",
            "warn",
            column,
            f"{filled:.0%} of the keys of `{name}` that had no value of {column} have one now: a default may stand for "
            "missing values",
            value=filled,
            rows=len(table.keys),
        )


def _change(table: TableEvidence, others: Sequence[TableEvidence], column: str) -> tuple[float, float]:
    """Returns how much a column's values of the same keys have changed since the nearest of other tables.

    Returns:
      The median logarithm of the ratio of positive numbers; and the share of keys with a value among those that had
      none. Each is 0 if it cannot be judged.
    """
    factors, filled = [], []
    for other in others:
        at, other_at = table.columns.index(column), other.columns.index(column)
        pairs = [(table.keys[key][at], other.keys[key][other_at]) for key in set(table.keys) & set(other.keys)]
        ratios = [math.log(a / b) for a, b in pairs if isinstance(a, float) and isinstance(b, float) and min(a, b) > 0]
        if len(ratios) >= MIN_COMMON_KEYS:
            factors.append(statistics.median(ratios))
        if len(were_missing := [a for a, b in pairs if b is None]) >= _MIN_MISSING:
            filled.append(sum(a is not None for a in were_missing) / len(were_missing))
    return min(factors, key=abs, default=0.0), min(filled, default=0.0)


def _any_value(table: TableEvidence, column: str) -> SketchValue:
    """Returns a column's value of some key; an int is the hash of a string."""
    at = table.columns.index(column)
    return next((values[at] for values in table.keys.values() if values[at] is not None), None)


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
        if min(len(ours), len(theirs)) >= MIN_COMMON_KEYS:
            found.append(len(ours & theirs) / min(len(ours), len(theirs)))
    return max(found, default=None)
