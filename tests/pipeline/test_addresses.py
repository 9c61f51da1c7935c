"""No message has the user and the password of a URL."""

from __future__ import annotations

import pytest

from pipeline.addresses import hidden_mistake, without_credentials
from pipeline.errors import first_line, sentence
from transform.errors import InputError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer from https://me:secret@host:5000/api?x=1", "no answer from https://host:5000/api?x=1"),
        ("Got http://me:se@cret@host:1. Sorry", "Got http://host:1. Sorry"),
        ("Invalid url: 'http://me:se/cr#et@host:1/api'", "Invalid url: 'http://host:1/api'"),
        ("s3://KEY:secret@bucket/a and s3://KEY:secret@bucket/b", "s3://bucket/a and s3://bucket/b"),
        ("https://token@host/x", "https://host/x"),
        ("postgresql://me:1234@host:5432/store", "postgresql://host:5432/store"),
        # No credentials: an @ behind the host, or outside of a URL.
        ("gs://bucket/day@1/part and http://host:80/a@b", "gs://bucket/day@1/part and http://host:80/a@b"),
        ("/data/a@b: me@store.com", "/data/a@b: me@store.com"),
    ],
)
def test_a_text_is_shown_without_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert sentence(InputError(text)) == shown
    assert first_line(ValueError(text)) == f"ValueError: {shown}"


@pytest.mark.parametrize(
    "address",
    [
        "http://me:se/cret@host:1", "http://me:se#cret@host:1", "http://me:se[cret@host:1", "http://me:secret@ho st:1",
        "http//me:secret@host", "me:secret@host:1", "http://me:secret@host:99999", "http://me:secret@host:port",
    ],
)  # fmt: skip
def test_of_an_address_that_is_no_url_nothing_is_shown(address: str) -> None:
    mistake = hidden_mistake("OPENLINEAGE_URL", address)
    assert mistake.startswith("OPENLINEAGE_URL must be SCHEME://USER:PASSWORD@HOST:PORT; ")
    assert "cret" not in mistake


@pytest.mark.parametrize("address", ["http://me:secret@host:1/x", "http://host:1", "sqlite:///a.db", "databricks", ""])
def test_another_address_is_left_to_its_client(address: str) -> None:
    assert hidden_mistake("OPENLINEAGE_URL", address) == ""
