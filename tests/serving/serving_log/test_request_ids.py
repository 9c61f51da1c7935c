"""Request ids: their MAC, the keys, and the share of requests that is logged."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from serving.serving_log.request_ids import RequestIds, is_sampled, read_keys
from transform.errors import InputError

OLD, NEW = b"o" * 32, b"n" * 32


def test_an_id_has_random_bytes_and_their_mac() -> None:
    made = {RequestIds([NEW]).new() for _ in range(100)}
    assert len(made) == 100
    for request_id in made:
        decoded = base64.urlsafe_b64decode(request_id + "=")
        assert decoded[16:] == hmac.new(NEW, decoded[:16], hashlib.sha256).digest()[:16]


def test_a_replaced_key_still_verifies_its_ids() -> None:
    old, new, both = RequestIds([OLD]), RequestIds([NEW]), RequestIds([NEW, OLD])
    assert both.are_ours(old.new())
    assert new.are_ours(both.new())
    assert not new.are_ours(old.new())


def test_no_other_text_is_ours() -> None:
    ids = RequestIds([NEW])
    good = ids.new()
    assert ids.are_ours(good)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at in range(len(good)):
        others = [good[:at] + letter + good[at + 1 :] for letter in alphabet if letter != good[at]]
        assert not any(map(ids.are_ours, others)), at
    for text in ("", good[:-1], good + "=", good + "A", good[:-1] + "é", good[:-1] + "\ud800", "=" * 43, " " * 43):
        assert not ids.are_ours(text)


def test_a_share_is_sampled_by_the_id_alone() -> None:
    assert is_sampled("AAAAAAAA" + "x" * 35, 2**-48)
    assert not is_sampled("AAAAAAAB" + "x" * 35, 2**-48)  # 1 of 2^48
    assert not is_sampled("AAAAAAAA" + "x" * 35, 0.0)
    assert is_sampled("________" + "x" * 35, 1.0)
    ids = RequestIds([NEW])
    drawn = sum(is_sampled(ids.new(), 0.25) for _ in range(4_000))
    assert abs(drawn - 1_000) < 6 * (4_000 * 0.25 * 0.75) ** 0.5


def test_keys_are_read_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(NEW + b"\n\n" + OLD + b"\r\n")
    assert read_keys(str(path)) == (NEW, OLD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a file of log keys must have a key a line. Received: no key"),
        (b"a" * 31, "a log key must have at least 32 characters.*Received: key 1 with 31 bytes"),
        (NEW + b"\n" + b"\xff" * 32, "Received: key 2 with 32 bytes"),
        (b"a" * 70_000, "Received: more than 65,536 bytes"),
    ],
)
def test_a_wrong_file_of_keys_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_keys(str(path))


def test_no_key_is_refused() -> None:
    with pytest.raises(InputError, match="request ids need a key"):
        RequestIds([])
