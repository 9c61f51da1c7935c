"""Tests of parsing token files."""

from __future__ import annotations

import pytest

from serving.token_file import parse_tokens
from transform.errors import InputError


def test_a_line_is_a_token() -> None:
    assert parse_tokens(b"one", "t") == ("one",)
    assert parse_tokens(b"\n one\r\n\ntwo \n", "t") == ("one", "two")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b" \n", "a token file must have a token. Received: an empty file (t)"),
        (b"one two", "a token must be printable ASCII without spaces. Received: something else (t)"),
        (b"one\nt\x00o", "a token must be printable ASCII without spaces. Received: something else (t)"),
        (b"\xff", "a token must be printable ASCII without spaces. Received: something else (t)"),
        (b"one\n" * 11, "a token file must have at most 10 tokens, one a line. Received: 11 (t)"),
    ],
)
def test_what_is_no_token_is_a_sentence(content: bytes, problem: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_tokens(content, "t")
    assert str(raised.value) == problem
