"""The log of a flood: some lines of each message, and how many were left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from serving.model_server import logs


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    logs.write_left_out()
    yield
    logs.write_left_out()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_line_of_few(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(logs.MAX_LINES):
        logs.log("error", "a request failed", number=number)
    logs.log("info", "listening", port=1)
    found = lines(capsys)
    assert [line.get("number") for line in found] == [*range(logs.MAX_LINES), None]
    assert (found[-1]["level"], found[-1]["message"], found[-1]["port"]) == ("info", "listening", 1)
    logs.write_left_out()
    assert lines(capsys) == []


def test_of_a_flood_some_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(logs.MAX_LINES + 1234):
        logs.log("error", "a request failed", reason="x" * 1000)
    logs.log("error", "another one")
    assert [line["message"] for line in lines(capsys)] == ["a request failed"] * logs.MAX_LINES + ["another one"]
    logs.write_left_out()
    (left_out,) = lines(capsys)
    del left_out["time"]
    assert left_out == {"level": "error", "message": "lines were left out", "of": "a request failed", "lines": 1234}


def test_the_count_comes_by_itself_and_lines_after_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "WINDOW_SECONDS", 0.05)
    monkeypatch.setattr(logs, "MAX_LINES", 2)
    for _ in range(5):
        logs.log("error", "again")
    timer = logs._timer
    assert timer is not None
    timer.join(60)
    logs.log("error", "again")
    assert [line["message"] for line in lines(capsys)] == ["again", "again", "lines were left out", "again"]


def test_a_library_s_message_is_known_by_its_template(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(logs.MAX_LINES + 5):
        record = logging.LogRecord("asyncio", logging.WARNING, "", 0, "socket %d failed", (number,), None)
        logs.LibraryLog().emit(record)
    logs.write_left_out()
    *found, left_out = lines(capsys)
    assert [line["message"] for line in found] == [f"socket {number} failed" for number in range(logs.MAX_LINES)]
    assert (left_out["of"], left_out["lines"]) == ("socket %d failed", 5)
