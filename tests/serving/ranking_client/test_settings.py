"""Tests of a client's settings, in code and as a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from serving.ranking_client.settings import ClientSettings, make_settings, read_settings, write_settings
from transform.errors import InputError


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    settings = ClientSettings(model="m", server="a:1", label="stable", part_size=50, hedge_after_seconds=0.01)
    write_settings(settings, str(tmp_path / "s.json"))
    assert read_settings(str(tmp_path / "s.json")) == settings


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    write_settings(ClientSettings(model="m", server="a:1"), str(tmp_path / "s.json"))
    made = make_settings(str(tmp_path / "s.json"), server="b:2", version=3, label=None)
    assert made == ClientSettings(model="m", server="b:2", version=3)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "`model` must be given. Received: none "),
        ({"model": "m", "version": 1, "label": "x"}, "`version` or `label` can be given. "),
        ({"model": "m", "ca_certificate": "a", "client_key": "b"}, "`client_certificate` and "),
        (
            {"model": "m", "client_certificate": "a", "client_key": "b"},
            "a client's certificate ",
        ),
        (
            {"model": "m", "deadline_seconds": 0},
            "`deadline_seconds` must be a number of seconds above 0, at most 3,600. Received: 0 ",
        ),
        ({"model": "m", "part_sise": 5}, "a setting must be one of ['backoff_seconds', "),
    ],
)
def test_a_mistake_is_a_sentence(given: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as raised:
        make_settings(None, **given)
    assert str(raised.value).startswith(problem)
    assert str(raised.value).endswith("(the client's settings)")


@pytest.mark.parametrize("name", ["deadline_seconds", "backoff_seconds", "hedge_after_seconds"])
@pytest.mark.parametrize(
    ("value", "received"),
    [
        (3600.5, "3600.5"),
        (-1, "-1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (True, "True"),
        ("1", "'1'"),
        pytest.param(2**70, "an integer of 71 bits", id="71 bits"),
        pytest.param(1 << 1400, "an integer of 1,401 bits", id="more than a float holds"),
        pytest.param(1 << 20_000, "an integer of 20,001 bits", id="more than Python converts to text"),
    ],
)
def test_a_time_is_above_0_and_at_most_an_hour(name: str, value: object, received: str) -> None:
    arguments: dict[str, Any] = {"model": "m", name: value}
    with pytest.raises(InputError) as raised:
        ClientSettings(**arguments)
    rule = "a number of seconds above 0, at most 3,600"
    optional = ", or absent" if name == "hedge_after_seconds" else ""
    assert str(raised.value) == f"`{name}` must be {rule}{optional}. Received: {received}"


def test_an_integer_of_any_size_is_refused_by_its_rule() -> None:
    with pytest.raises(
        InputError, match=r"^`part_size` must be a whole number from 1 to .* an integer of 20,001 bits$"
    ):
        ClientSettings(model="m", part_size=1 << 20_000)


def test_a_whole_hour_is_a_time() -> None:
    assert ClientSettings(model="m", deadline_seconds=3600).deadline_seconds == 3600
