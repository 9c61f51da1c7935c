"""Counts of tokens and the order of a vocabulary; expected values in plain Python."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from components.transforming import token_counts
from components.transforming.token_counts import EMPTY_VOCABULARY, Pruning, TokenCounter, deserialized, merged, ordered


def counted(*batches: list[bytes]) -> TokenCounter:
    counter = TokenCounter()
    for batch in batches:
        distinct = Counter(batch)
        lengths = np.array([len(token) for token in distinct], np.int32)
        counter.add(b"".join(distinct), lengths, np.array(list(distinct.values()), np.int64))
    return counter


def test_counts_of_batches_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_counts, "_MERGE_ROWS", 7)  # merges many times
    rng = random.Random(1)
    tokens = [rng.randbytes(rng.choice([0, 1, 1, 2])) for _ in range(2000)]
    table = counted(*(tokens[i : i + 9] for i in range(0, len(tokens), 9))).table()
    assert dict(zip(table["token"].to_pylist(), table["count"].to_pylist(), strict=True)) == Counter(tokens)
    assert table["token"].to_pylist() == list(dict.fromkeys(tokens))


def test_spans_are_merged_after_they_were_stored() -> None:
    first, second = counted([b"a", b"b"], [b"a"]).table(), counted([b"b", b"\xc3\x28"]).table()
    stored = [deserialized(token_counts.serialized(table)) for table in (first, second, counted().table())]
    whole = merged(stored)
    assert dict(zip(whole["token"].to_pylist(), whole["count"].to_pylist(), strict=True)) == {
        b"a": 2,
        b"b": 2,
        b"\xc3\x28": 1,
    }


TOKENS = [b"a"] * 3 + [b"b"] * 3 + [b"c"] * 2 + [b"\xff"] * 2 + [b"d"]


@pytest.mark.parametrize(
    ("min_count", "max_size", "expected"),
    [
        (0, None, [b"b", b"a", b"\xff", b"c", b"d"]),
        (2, None, [b"b", b"a", b"\xff", b"c"]),
        (0, 3, [b"b", b"a", b"\xff"]),
        (3, 9, [b"b", b"a"]),
        (4, None, []),
        (4, 2, [EMPTY_VOCABULARY]),
    ],
)
def test_the_most_frequent_tokens_are_kept_and_of_equals_the_greatest(
    min_count: int, max_size: int | None, expected: list[bytes]
) -> None:
    assert Pruning(min_count, max_size).kept(counted(TOKENS).table()) == expected


@pytest.mark.parametrize(
    ("kept", "reserved", "expected"),
    [
        ([b"x", b"a", b"y"], [b"a", b"z"], [b"a", b"z", b"x", b"y"]),
        ([], [], [EMPTY_VOCABULARY]),
        ([], [b"a"], [b"a"]),
        ([EMPTY_VOCABULARY], [b"a"], [b"a", EMPTY_VOCABULARY]),
    ],
)
def test_reserved_tokens_come_first_and_once(kept: list[bytes], reserved: list[bytes], expected: list[bytes]) -> None:
    assert ordered(kept, reserved) == expected
