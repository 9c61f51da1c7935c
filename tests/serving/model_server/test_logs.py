"""Tests of the log under a flood of messages: some lines of each, and the number of those left out."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
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
    monkeypatch.setattr(logs, "WINDOW_SECONDS", 1.0)
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


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord("asyncio", logging.ERROR, "", 0, text, (), None)


def test_a_line_may_be_logged_while_another_one_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This happens when garbage collection finds a task whose exception was never retrieved."""

    class Logs:
        def __str__(self) -> str:
            logs.LibraryLog().emit(_record("Task exception was never retrieved"))
            return "written"

    monkeypatch.setattr(logs, "_lock", type(logs._lock)())  # if it stays locked, the next test has the original
    thread = threading.Thread(
        target=logs.log, args=("error", "a request failed"), kwargs={"reason": Logs()}, daemon=True
    )
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [line["message"] for line in lines(capsys)] == ["Task exception was never retrieved", "a request failed"]


class _Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(logs, "_now", lambda: self.now)

    def ring(self) -> None:
        """Does what the timer does."""
        assert logs._timer is not None
        logs._timer.cancel()
        logs._on_time()


def _flood(message: str, num_left_out: int) -> None:
    for _ in range(logs.MAX_LINES + num_left_out):
        logs.log("error", message)


def test_counts_are_told_once_even_if_one_has_another_line_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nested(io.StringIO):
        """Logs a line, once, while the first count is written."""

        logged = False

        def write(self, text: str) -> int:
            if "lines were left out" in text and not self.logged:
                self.logged = True
                logs.log("error", "second")
            return super().write(text)

    clock = _Clock(monkeypatch)
    monkeypatch.setattr(sys, "stderr", written := Nested())
    _flood("first", 1)
    _flood("second", 2)
    clock.now = logs.WINDOW_SECONDS
    clock.ring()
    counts = [json.loads(line) for line in written.getvalue().splitlines()]
    assert sorted((line["of"], line["lines"]) for line in counts if "of" in line) == [("first", 1), ("second", 2)]


def test_a_window_that_has_begun_a_moment_ago_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock(monkeypatch)
    _flood("first", 1)
    clock.now = 0.9 * logs.WINDOW_SECONDS
    _flood("second", 2)
    lines(capsys)
    clock.now = logs.WINDOW_SECONDS
    clock.ring()
    logs.log("error", "second")  # one more line in the same window
    assert [(line["of"], line["lines"]) for line in lines(capsys)] == [("first", 1)]
    clock.now = 2 * logs.WINDOW_SECONDS
    clock.ring()
    assert [(line["of"], line["lines"]) for line in lines(capsys)] == [("second", 3)]
