"""Tokens in arrays: the same as in a list, and found by their bytes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from transform.files import tokens as module
from transform.files.tokens import Tokens, rows_of

#: Tokens of any bytes, one of them empty.
TOKENS = [b"", b"a", b"\x00", b"1234567", b"12345678", b"123456789", b"12345678\x00", b"\xff" * 17, "größe".encode()]


@pytest.mark.parametrize("block", [1, 2, 1 << 19])
def test_tokens_are_a_sequence(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    packed = Tokens.of(TOKENS)
    assert (len(packed), list(packed), packed[2], packed[-1]) == (9, TOKENS, b"\x00", "größe".encode())
    assert packed[1:3] == [b"a", b"\x00"]
    assert packed == TOKENS
    assert packed != TOKENS[1:]
    assert packed != [*TOKENS[:-1], b"other"]
    assert packed != 9
    assert Tokens.of(packed) is packed
    with pytest.raises(IndexError):
        packed[9]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a\nbc\n", [b"a", b"bc"]),
        (b"a\nbc", [b"a", b"bc"]),
        (b"a\n\nbc \r\n", [b"a", b"", b"bc \r"]),
        (b"\n", [b""]),
    ],
)
def test_each_line_of_a_file_is_a_token(content: bytes, expected: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "vocabulary").write_bytes(content)
    assert Tokens.read_lines(str(tmp_path / "vocabulary")) == expected


@pytest.mark.parametrize(("size", "ends"), [(3, [1, 4]), (3, [2, 1]), (3, [-1, 2])])
def test_ends_that_are_not_those_of_the_bytes_are_an_error(size: int, ends: list[int]) -> None:
    with pytest.raises(ValueError, match="each token must end after the one before it, and within the bytes"):
        Tokens(np.zeros(size, np.uint8), np.array(ends))


@pytest.mark.parametrize("at_once", [1, 7, 1 << 21])
def test_tokens_are_found_by_their_bytes(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OLD_AT_ONCE", at_once)
    rng = random.Random(1)
    old = [*TOKENS, *(bytes(rng.choices(b"ab\x00\xff", k=rng.randrange(20))) for _ in range(200))]
    old = list(dict.fromkeys(old))
    new = [*(bytes(rng.choices(b"ab\x00\xff", k=rng.randrange(20))) for _ in range(200)), *old[::3], b"not there"]
    row_of = {token: row for row, token in enumerate(old)}
    assert rows_of(Tokens.of(old), Tokens.of(new)).tolist() == [row_of.get(token, -1) for token in new]


def test_nothing_is_found_in_or_for_an_empty_vocabulary() -> None:
    empty, full = Tokens.of([]), Tokens.of([b"a", b""])
    assert rows_of(empty, full).tolist() == [-1, -1]
    assert rows_of(full, empty).tolist() == []
    assert rows_of(empty, empty).tolist() == []
