"""Tests of encoding candidates and of splitting them into parts."""

from __future__ import annotations

from typing import Any

import pytest

from serving.ranking_client.candidates import Candidates, encode_candidates
from serving.ranking_client.errors import RequestError
from serving.ranking_client.features import encode_example
from serving.ranking_client.settings import ClientSettings

SETTINGS = ClientSettings(model="m", max_candidates=5)


def test_ids_alone_and_with_features() -> None:
    encoded = encode_candidates(["a", ("b", {"price": 1.0}), ("ö", b"example"), ("c", {})], SETTINGS)
    assert encoded.ids == (b"a", b"b", b"\xc3\xb6", b"c")
    assert encoded.items == (b"", encode_example({"price": 1.0}, "x", 100), b"example", b"")


@pytest.mark.parametrize(
    ("number", "size", "expected"),
    [
        (200, None, [200]),
        (200, 50, [50, 50, 50, 50]),
        (200, 200, [200]),
        (201, 200, [100, 101]),
        (7, 3, [2, 3, 2]),
        (2, 1, [1, 1]),
    ],
)
def test_parts_are_few_and_alike(number: int, size: int | None, expected: list[int]) -> None:
    ids = tuple(str(i).encode() for i in range(number))
    parts = list(Candidates(ids, tuple(b"" for _ in ids)).parts(size))
    assert [len(part.ids) for part in parts] == expected
    assert [item_id for part in parts for item_id in part.ids] == list(ids)
    assert all(len(part.items) == len(part.ids) for part in parts)


@pytest.mark.parametrize(
    ("candidates", "problem"),
    [
        ([], "candidates must be 1 to 5. Received: 0"),
        (["a"] * 6, "candidates must be 1 to 5. Received: 6"),
        ("abc", "candidates must be a list of item ids. Received: 'abc'"),
        (["a", ""], "candidate 1's id must have 1 to 1,000 bytes. Received: 0"),
        (["ö" * 501], "candidate 0's id must have 1 to 1,000 bytes. Received: 1,002"),
        ([7], "candidate 0 must be an item id, a text. Received: 7"),
        (["\ud800"], r"candidate 0 must be a text that UTF-8 has. Received: '\ud800'"),
        ([("a", {"f": True})], "feature 'f' of candidate 0's item must be "),
    ],
)
def test_what_no_candidates_can_be(candidates: Any, problem: str) -> None:
    with pytest.raises(RequestError) as raised:
        encode_candidates(candidates, SETTINGS)
    assert str(raised.value).startswith(problem)
