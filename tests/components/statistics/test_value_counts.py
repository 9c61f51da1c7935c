"""Values are counted exactly up to a maximum of distinct values, and in bounded memory beyond it."""

from __future__ import annotations

import collections
import random

import pyarrow as pa
import pytest

from components.statistics.value_counts import ValueCounts


def counted(batches: list[list[bytes]], max_values: int, max_bytes: int = 1 << 26) -> ValueCounts:
    counts = ValueCounts(max_values, max_bytes)
    for batch in batches:
        counts.add(pa.array(batch, pa.large_binary()))
    return counts


def draws(number: int, distinct: int) -> list[list[bytes]]:
    draw = random.Random(0)
    return [[b"%d" % int(draw.random() ** 2 * distinct) for _ in range(number)] for _ in range(20)]


def test_up_to_the_maximum_the_counts_are_exact() -> None:
    batches = draws(100, 50)
    expected = collections.Counter(value for batch in batches for value in batch)
    counts = counted(batches, max_values=len(expected))
    assert counts.num_distinct() == len(expected)
    in_order = sorted(expected.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
    assert counts.most_frequent(10) == in_order[:10]
    assert counts.most_frequent(1000) == in_order


def test_without_values_there_are_none() -> None:
    counts = counted([[], []], 10)
    assert (counts.num_distinct(), counts.most_frequent(10)) == (0, [])


def test_beyond_the_maximum_frequent_values_and_the_number_of_all_are_kept() -> None:
    batches = [[b"often"] * 50 + [b"%d-%d" % (number, i) for i in range(100)] for number in range(20)]
    counts = counted(batches, max_values=300)
    assert len(counts.most_frequent(10_000)) <= 300
    assert counts.most_frequent(1) == [(b"often", 1000)]
    assert counts.num_distinct() == pytest.approx(2001, rel=0.03)


def test_long_values_are_bounded_by_their_bytes() -> None:
    """20 batches of 50 values of 984 bytes, each 1,000 with its offset and its count; room is for 100 of them."""
    batches = [
        [b"often"] * 50 + [b"%02d-%02d".ljust(984, b".") % (number, i) for i in range(50)] for number in range(20)
    ]
    counts = counted(batches, max_values=1000, max_bytes=100_000)
    assert counts.most_frequent(1) == [(b"often", 1000)]
    assert 50 <= len(counts.most_frequent(10_000)) <= 100
    assert counts.num_distinct() == pytest.approx(1001, rel=0.03)
    assert counted(batches, 1000).most_frequent(1) == [(b"often", 1000)]
    assert counted(batches, max_values=1001).num_distinct() == 1001


def test_one_value_is_kept_however_long() -> None:
    counts = counted([[b"a" * 5000], [b"b" * 5000] * 2], max_values=10, max_bytes=1000)
    assert counts.most_frequent(10) == [(b"b" * 5000, 2)]
    assert counts.num_distinct() == 2
