"""Rules on joined tables: unmatched keys, keys made anew, and values that belong to other keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.table_agreement import agreement
from components.ingestion.evidence import TableEvidence
from tests.components.data_validation.hand_written import good, span, stops
from transform.config.drift import Drift


def with_tables(evidence: SpanEvidence, **tables: TableEvidence) -> SpanEvidence:
    return dataclasses.replace(evidence, ingested=dataclasses.replace(evidence.ingested, tables=tables))


def test_unmatched_keys_are_held_against_the_most_of_the_spans_before() -> None:
    days = [with_tables(e, catalog=TableEvidence(9900, 100)) for e in good(8)]
    half = with_tables(span(9), catalog=TableEvidence(5000, 5000))
    (stop,) = [f for f in decide(half, days, Drift()) if f.severity == "stop"]
    # 1 % + 5 % + 3 √(20 · 0.01 · 0.99 / 10,000) = 7.3 %
    assert stop.sentence == (
        "at most 7.3% of the impressions may have a key that `catalog` does not have "
        "(drift.max_unmatched_increase: 0.05 more than the 1.0% of earlier spans). Received: 50.0%"
    )
    assert not stops(with_tables(span(9), catalog=TableEvidence(9400, 600)), days)
    assert [f.severity for f in decide(half, [], Drift()) if f.subject == "catalog"] == ["warn"]


def table(values: Sequence[Any]) -> TableEvidence:
    return TableEvidence(100, 0, ("value",), {key: (value,) for key, value in enumerate(values)})


def users(keys: range) -> TableEvidence:
    """Returns a table whose keys have hashes in another order: 10,007 is a prime number, so that no two are equal."""
    return TableEvidence(100, 0, ("value",), {key * 7919 % 10_007: (float(key % 17),) for key in keys})


def test_a_table_with_other_keys_than_before_stops_as_if_ids_were_made_anew() -> None:
    """A day has 100 keys, 90 of which are those of the day before."""

    def day(number: int, first_key: int) -> SpanEvidence:
        return with_tables(span(number), users=users(range(first_key, first_key + 100)))

    days = [day(n, 10 * n) for n in range(1, 9)]
    assert decide(day(9, 90), days, Drift()) == []
    (found,) = decide(day(9, 1000), days, Drift())
    assert (found.severity, found.rule, found.subject) == ("stop", "drift.min_agreement", "users")
    assert found.sentence == (
        "at least 45% of the keys of `users` must be those of an earlier span, half of what is usual "
        "(drift.min_agreement: 0.5). Received: 0%, at least 90% before: as if ids were made anew, so that what was "
        "learned of them is lost"
    )
    # Three times as many users, a third of which are known.
    more = with_tables(span(9), users=users(range(80, 380)))
    assert not stops(more, days)


def test_a_table_with_too_few_common_keys_to_compare_says_so() -> None:
    """Users of whom hardly any comes back, and a table of 20 keys: neither is judged, and one sentence says so."""
    days = [with_tables(span(n), users=users(range(1000 * n, 1000 * n + 100))) for n in range(1, 9)]
    anew = with_tables(span(9), users=users(range(9000, 9100)))
    assert [(f.severity, f.sentence) for f in decide(anew, days, Drift())] == [
        (
            "cannot_judge",
            "whether the values of value belong to the same keys of `users` as before cannot be judged: it takes 30 "
            "keys that have a value in an earlier span's sample too. Received: at most 0 of 100",
        )
    ]
    small = [with_tables(span(n), users=table([float(k) for k in range(20)])) for n in range(1, 10)]
    (found,) = decide(small[-1], small[:-1], Drift())
    assert (found.severity, found.value) == ("cannot_judge", 20)
    # Values that are nearly all equal need no comparison: in another order, they would be as before.
    equal = [with_tables(span(n), users=table([1.0] * 100)) for n in range(1, 10)]
    assert decide(equal[-1], equal[:-1], Drift()) == []


def test_values_agree_where_they_belong_to_the_same_keys() -> None:
    numbers = table([float(n) for n in range(100)])
    assert agreement(numbers, table([n * 2.0 + 1 for n in range(100)]), "value") == pytest.approx(1)
    assert agreement(numbers, table([float(99 - n) for n in range(100)]), "value") == pytest.approx(-1)
    hashes = [n * n % 11 % 2 for n in range(110)]  # two distinct strings
    assert agreement(table(hashes), table(hashes), "value") == pytest.approx(1)
    assert agreement(table(hashes), table([1 - h for h in hashes]), "value") < 0  # type: ignore[operator]
    lists = table([(n, n + 1) for n in range(100)])
    assert agreement(lists, lists, "value") == pytest.approx(1)
    assert agreement(lists, table([(n + 50, n + 51) for n in range(100)]), "value") == pytest.approx(0, abs=0.01)
    assert agreement(numbers, table([1.0] * 100), "value") is None  # all values are equal
    assert agreement(numbers, table([1.0] * 10), "value") is None
