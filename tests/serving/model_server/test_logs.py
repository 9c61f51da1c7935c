"""Tests of the log under a flood of messages: some lines of each, and the number of those left out.

And of a standard error that takes no lines.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.model_server import logs

Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    logs.finish()
    yield
    logs.finish()


def test_each_line_of_few(logged: Logged) -> None:
    for number in range(logs.MAX_LINES):
        logs.log("error", "a request failed", number=number)
    logs.log("info", "listening", port=1)
    found = logged()
    assert [line.get("number") for line in found] == [*range(logs.MAX_LINES), None]
    assert (found[-1]["level"], found[-1]["message"], found[-1]["port"]) == ("info", "listening", 1)
    logs.finish()
    assert logged() == []


def test_of_a_flood_some_and_a_count(logged: Logged) -> None:
    for _ in range(logs.MAX_LINES + 1234):
        logs.log("error", "a request failed", reason="x" * 1000)
    logs.log("error", "another one")
    assert [line["message"] for line in logged()] == ["a request failed"] * logs.MAX_LINES + ["another one"]
    logs.finish()
    (left_out,) = logged()
    del left_out["time"]
    assert left_out == {"level": "error", "message": "lines were left out", "of": "a request failed", "lines": 1234}


def test_the_count_comes_by_itself_and_lines_after_it(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WINDOW_SECONDS", 1.0)
    monkeypatch.setattr(logs, "MAX_LINES", 2)
    for _ in range(5):
        logs.log("error", "again")
    timer = logs._timer
    assert timer is not None
    timer.join(60)
    logs.log("error", "again")
    assert [line["message"] for line in logged()] == ["again", "again", "lines were left out", "again"]


def test_a_library_s_message_is_known_by_its_template(logged: Logged) -> None:
    for number in range(logs.MAX_LINES + 5):
        record = logging.LogRecord("asyncio", logging.WARNING, "", 0, "socket %d failed", (number,), None)
        logs.LibraryLog().emit(record)
    logs.finish()
    *found, left_out = logged()
    assert [line["message"] for line in found] == [f"socket {number} failed" for number in range(logs.MAX_LINES)]
    assert (left_out["of"], left_out["lines"]) == ("socket %d failed", 5)


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord("asyncio", logging.ERROR, "", 0, text, (), None)


def test_a_line_may_be_logged_while_another_one_is_written(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert [line["message"] for line in logged()] == ["Task exception was never retrieved", "a request failed"]


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
    class Nested:
        """In place of the queue: keeps the lines, and logs another one, once, when the first count is put into it."""

        def __init__(self) -> None:
            self.lines: list[dict[str, Any]] = []

        def qsize(self) -> int:
            return 0

        def put(self, line: bytes) -> None:
            is_first_count = b"lines were left out" in line and not any("of" in each for each in self.lines)
            self.lines.append(json.loads(line))
            if is_first_count:
                logs.log("error", "second")

    clock = _Clock(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(logs, "_lines", nested := Nested())
        _flood("first", 1)
        _flood("second", 2)
        clock.now = logs.WINDOW_SECONDS
        clock.ring()
    counts = sorted((line["of"], line["lines"]) for line in nested.lines if "of" in line)
    assert counts == [("first", 1), ("second", 2)]


def test_a_window_that_has_begun_a_moment_ago_goes_on(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    _flood("first", 1)
    clock.now = 0.9 * logs.WINDOW_SECONDS
    _flood("second", 2)
    logged()
    clock.now = logs.WINDOW_SECONDS
    clock.ring()
    logs.log("error", "second")  # one more line in the same window
    assert [(line["of"], line["lines"]) for line in logged()] == [("first", 1)]
    clock.now = 2 * logs.WINDOW_SECONDS
    clock.ring()
    assert [(line["of"], line["lines"]) for line in logged()] == [("second", 3)]


#: The capacity of the pipe in place of standard error.
_PIPE_BYTES = 4096


@pytest.fixture
def pipe(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A small pipe in place of standard error: the descriptors to read from and to write to."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    with monkeypatch.context() as patch:
        patch.setattr(logs, "_STANDARD_ERROR", writer)
        yield reader, writer
        os.close(reader)  # which ends a write that waits
        logs.flush()
    os.close(writer)


def test_no_caller_waits_for_a_reader_and_what_cannot_wait_is_counted(pipe: tuple[int, int]) -> None:
    reader, _ = pipe
    lost, total = logs.num_lost(), logs.MAX_WAITING + 500

    def log_all() -> None:
        for number in range(total):
            logs.log("info", "listening", number=number)

    logging_all = threading.Thread(target=log_all, daemon=True)
    logging_all.start()
    logging_all.join(60)
    assert not logging_all.is_alive()
    lost = logs.num_lost() - lost
    # A line has more than 80 bytes, so the pipe has fewer than 50; one more waits in the thread.
    assert 500 - _PIPE_BYTES // 80 - 1 <= lost <= 500
    with open(reader, encoding="utf-8", closefd=False) as lines:
        found = [json.loads(lines.readline())["number"] for _ in range(total - lost)]
    assert found[: logs.MAX_WAITING] == list(range(logs.MAX_WAITING))
    assert found == sorted(set(found)), "in order, none twice"


def test_a_line_that_is_cut_spoils_no_other(pipe: tuple[int, int]) -> None:
    """The pipe takes a part of the first line, and then refuses the rest, as a disk does that is full."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    lost = logs.num_lost()
    logs.log("info", "long", reason="x" * 2 * _PIPE_BYTES)
    logs.log("info", "lost")
    logs.flush()
    assert logs.num_lost() - lost == 2
    with open(reader, encoding="utf-8", closefd=False) as lines:
        cut = lines.read(_PIPE_BYTES)
        logs.log("info", "whole")
        assert lines.readline() == "\n"
        assert json.loads(lines.readline())["message"] == "whole"
    assert cut.startswith("{")


def test_a_text_that_is_not_utf_8(logged: Logged) -> None:
    """As a file's name may be."""
    logs.log("info", "listening", path=os.fsdecode(b"m\xff"))
    assert [line["path"] for line in logged()] == ["m\udcff"]
