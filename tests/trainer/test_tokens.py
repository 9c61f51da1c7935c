"""Tokens in arrays: the same as in a list, and found by their bytes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from trainer import tokens as module
from trainer.tokens import Tokens, mixed, rows_of

#: Tokens of every length around a word's, of any bytes, one of them empty.
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


@pytest.mark.parametrize("file_block", [1, 5, 1 << 24])
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
def test_each_line_of_a_file_is_a_token(
    file_block: int, content: bytes, expected: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_BLOCK", file_block)
    (tmp_path / "vocabulary").write_bytes(content)
    assert Tokens.of_lines(str(tmp_path / "vocabulary")) == expected


@pytest.mark.parametrize(("size", "ends"), [(3, [1, 4]), (3, [2, 1]), (3, [-1, 2])])
def test_ends_that_are_not_those_of_the_bytes_are_an_error(size: int, ends: list[int]) -> None:
    with pytest.raises(ValueError, match="each token must end after the one before it, and within the bytes"):
        Tokens(np.zeros(size, np.uint8), np.array(ends))


@pytest.mark.parametrize("block", [1, 3, 1 << 19])
def test_tokens_are_found_in_blocks_of_any_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = random.Random(1)
    old = [*TOKENS, *(bytes(rng.choices(b"ab\x00\xff", k=rng.randrange(20))) for _ in range(200))]
    new = [*(bytes(rng.choices(b"ab\x00\xff", k=rng.randrange(20))) for _ in range(200)), *old[::3], b"not there"]
    row_of = {token: row for row, token in enumerate(old)}  # of a token that is there twice, the last row
    assert rows_of(Tokens.of(old), Tokens.of(new)).tolist() == [row_of.get(token, -1) for token in new]


def test_nothing_is_found_in_or_for_an_empty_vocabulary() -> None:
    empty, full = Tokens.of([]), Tokens.of([b"a", b""])
    assert rows_of(empty, full).tolist() == [-1, -1]
    assert rows_of(full, empty).tolist() == []
    assert rows_of(empty, empty).tolist() == []


def collision(first: bytes, other_first: bytes, second: bytes) -> bytes:
    """The token of two words that begins with `other_first` and has the hash of `first` and `second` together.

    A token's hash is mixed(mixed(16 ^ first word) ^ second word), so the second word makes up for the first.
    """
    length = np.array([16], np.uint64)
    after, other_after = (mixed(length ^ np.frombuffer(word, "<u8")) for word in (first, other_first))
    other_second: np.ndarray = after ^ other_after ^ np.frombuffer(second, "<u8")
    return other_first + other_second.astype("<u8").tobytes()


def test_tokens_of_equal_hashes_are_told_apart_by_their_bytes() -> None:
    token = b"12345678abcdefgh"
    others = [collision(token[:8], bytes([n]) * 8, token[8:]) for n in range(4)]
    assert len({*others, token}) == 5
    hashes = Tokens.of([token, *others]).hashes(slice(None))
    assert np.unique(hashes).size == 1

    old = [others[0], b"x", token, others[1], others[2]]
    new = [others[2], token, others[3], b"x", others[0]]  # others[3] has their hash, but is new
    assert rows_of(Tokens.of(old), Tokens.of(new)).tolist() == [4, 2, -1, 1, 0]
