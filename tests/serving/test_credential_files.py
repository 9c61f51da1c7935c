"""Tests of files that are read again when they change, and of what a file of tokens may have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.credential_files import Contents, WatchedFiles, parse_tokens
from transform.errors import InputError


class Taken:
    """Records the tokens that a watched file yields; the token `bad` is refused."""

    def __init__(self, path: Path, looks: int = 2) -> None:
        self.tokens: list[bytes] = []
        self.reported: list[tuple[str, str, str | None]] = []
        self.watched = WatchedFiles(
            "the token", [str(path)], self.take, lambda *reported: self.reported.append(reported), looks
        )

    def take(self, contents: Contents) -> None:
        (token,) = contents
        if token == b"bad":
            raise InputError("a token must be good")
        self.tokens.append(token)

    def check(self, times: int) -> None:
        for _ in range(times):
            self.watched.check()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "token").write_bytes(b"one")
    return tmp_path / "token"


def test_what_is_the_same_at_two_looks_is_taken(path: Path) -> None:
    taken = Taken(path)
    taken.check(2)
    path.touch()
    taken.check(2)
    assert taken.tokens == [b"one"]
    for half in (b"", b"tw", b"two"):
        path.write_bytes(half)
        taken.check(1)
    assert taken.tokens == [b"one"]
    taken.check(2)
    assert taken.tokens == [b"one", b"two"]


def test_one_look_can_be_enough(path: Path) -> None:
    taken = Taken(path, looks=1)
    path.write_bytes(b"two")
    taken.check(1)
    assert taken.tokens == [b"one", b"two"]


def test_a_file_of_the_same_size_and_time_is_another(path: Path) -> None:
    taken = Taken(path)
    found = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    taken.check(2)
    assert taken.tokens == [b"one", b"two"]


def test_a_link_that_leads_elsewhere_is_followed(path: Path, tmp_path: Path) -> None:
    """Kubernetes replaces a mounted secret in this way."""
    (tmp_path / "next").write_bytes(b"two")
    for target in ("token", "next"):
        (tmp_path / f"to-{target}").symlink_to(target)
    os.replace(tmp_path / "to-token", tmp_path / "link")
    taken = Taken(tmp_path / "link")
    os.replace(tmp_path / "to-next", tmp_path / "link")
    taken.check(2)
    assert taken.tokens == [b"one", b"two"]


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"bad"), "a token must be good"),
        (
            lambda path: path.write_bytes(b"x" * (2**20 + 1)),
            "a token or a certificate must have at most 1048576 bytes.",
        ),
        (lambda path: path.unlink(), "[Errno 2] No such file or directory: "),
        (make_pipe, "a file must be a regular one to be read again."),
        (make_folder, "a file must be a regular one to be read again."),
    ],
    ids=["refused", "large", "missing", "pipe", "folder"],
)
def test_what_cannot_be_used_is_told_once(path: Path, damage: Callable[[Path], object], reason: str) -> None:
    taken = Taken(path)
    damage(path)
    taken.check(5)
    ((level, message, told_reason),) = taken.reported
    assert (level, message) == ("error", "the token cannot be read again; the earlier stays in use")
    assert told_reason is not None
    assert told_reason.startswith(reason)
    if path.exists():
        path.rename(path.parent / "away")
    path.write_bytes(b"two")
    taken.check(2)
    assert taken.tokens == [b"one", b"two"]
    assert taken.reported[1:] == [("info", "the token was read again", None)]


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
