"""The display of a run: what the terminal shows, and what goes to the log file instead."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.table import Table

from pipeline.cli import display as console
from pipeline.cli.display import RunDisplay
from pipeline.runner.launch import NodeEvent
from trainer.training.progress import PROGRESS_LOGGER, Progress, log_stage

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """Replaces the process's standard output; `text` returns what was written to it."""

    def __init__(self, reading: int):
        self._reading = reading
        self._received = b""

    def text(self, until: str = "", timeout_seconds: float = 60.0) -> str:
        """Returns the text received so far: at once, or, if `until` is given, after receiving `until`."""
        end = time.monotonic() + timeout_seconds
        while until.encode() not in self._received or not until:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, end - time.monotonic()) if until else 0.0)
            if not ready:
                break
            self._received += os.read(self._reading, 65536)
        found = self._received.decode()
        assert until in found
        return found


@contextlib.contextmanager
def standard_output(reading: int, writing: int) -> Iterator[Terminal]:
    """Redirects standard output to a descriptor. Not a fixture, as pytest redirects it after the setup."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(writing, 1)
    try:
        yield Terminal(reading)
    finally:
        os.dup2(saved, 1)
        for descriptor in (saved, reading, writing):
            os.close(descriptor)


@pytest.fixture(autouse=True)
def _terminal_of_140_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)


def train(step: int) -> None:
    """Reports progress through the logger, as the trainer does in a run."""
    progress = Progress(step, 200, 1, 2, 51234.5, 0.32109, 7.4)
    logging.getLogger(PROGRESS_LOGGER).info("step %d", step, extra={"progress": progress})


def test_without_a_terminal_each_event_is_a_plain_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PLAIN_SECONDS", 3600.0)
    with standard_output(*os.pipe()) as terminal, RunDisplay(tmp_path / "run.log") as display:
        display.show(NodeEvent("example_gen", "running"))
        display.show(NodeEvent("example_gen", "cached"))
        display.show(NodeEvent("trainer", "running"))
        assert display.node == "trainer"
        train(5)
        train(6)  # too soon after the last line
        log_stage("exporting the model")  # also too soon
        logging.getLogger(PROGRESS_LOGGER).info("no progress at all")
        display.show(NodeEvent("trainer", "done", 12.345, 7))
        display.console.print("x" * 300)  # such as a path: it must not be wrapped
        text = terminal.text()
    assert text.splitlines() == [
        "example_gen …",
        "✓ example_gen: taken from the cache",
        "trainer …",
        "  trainer: step 5/200, 51,234 examples/s, loss 0.3211, 7 s left",
        "✓ trainer: 12.3 s",
        "x" * 300,
    ]


def test_each_node_s_first_progress_is_told_at_once(tmp_path: Path) -> None:
    with standard_output(*os.pipe()) as terminal, RunDisplay(tmp_path / "run.log") as display:
        for node in ("trainer", "other"):
            display.show(NodeEvent(node, "running"))
            train(1)
        text = terminal.text()
    assert [line.split(",")[0] for line in text.splitlines()] == [
        "trainer …",
        "  trainer: step 1/200",
        "other …",
        "  other: step 1/200",
    ]


def test_without_a_terminal_a_node_that_runs_for_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "HEARTBEAT_SECONDS", 0.2)
    with standard_output(*os.pipe()) as terminal, RunDisplay(tmp_path / "run.log") as display:
        display.show(NodeEvent("transform", "running"))
        text = terminal.text(until="  transform: running for ")
    assert text.startswith("transform …\n")


def test_a_stage_without_steps_is_shown(tmp_path: Path) -> None:
    with standard_output(*os.pipe()) as terminal, RunDisplay(tmp_path / "run.log") as display:
        display.show(NodeEvent("trainer", "running"))
        log_stage("exporting the model")
        assert terminal.text() == "trainer …\n  trainer: exporting the model\n"


def test_a_table_in_a_pipe_has_no_spaces_at_the_ends_of_its_lines() -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("a", "short")
    table.add_row("b", "x" * 300)
    file = io.StringIO()
    console.console_for(file).print(table)
    assert file.getvalue() == f"a  short\nb  {'x' * 300}\n"


def test_the_clock_runs_after_the_training_s_last_step(tmp_path: Path) -> None:
    with standard_output(*pty.openpty()) as terminal, RunDisplay(tmp_path / "run.log") as display:
        display.show(NodeEvent("trainer", "running"))
        train(200)
        log_stage("exporting the model")
        assert "exporting the model" in terminal.text(until="0:00:02")


def test_a_terminal_has_a_live_bar(tmp_path: Path) -> None:
    with standard_output(*pty.openpty()) as terminal:
        with RunDisplay(tmp_path / "run.log") as display:
            display.show(NodeEvent("trainer", "running"))
            train(50)
            assert "━" in terminal.text(until="step 50/200")
            train(150)
            assert "51,234 examples/s, loss 0.3211, 7 s left" in terminal.text(until="step 150/200")
            log_stage("exporting the model")
            assert "━" in terminal.text(until="exporting the model")
            display.show(NodeEvent("trainer", "done", 2.0, 7))
        shown = terminal.text(until=SHOW_CURSOR)
    assert "\x1b[32m✓\x1b[0m trainer: 2.0 s" in shown
    assert shown.index(HIDE_CURSOR) < shown.index("step 50/200") < shown.rindex(SHOW_CURSOR)
    assert (tmp_path / "run.log").read_text() == ""


def chatter() -> None:
    """Writes to the terminal in the ways that libraries do."""
    os.write(1, b"C++ out\n")
    os.write(2, b"C++ err\n")
    subprocess.run([sys.executable, "-c", "print('child')"], check=True)


def test_what_libraries_print_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.log"
    with standard_output(*os.pipe()) as terminal:
        with RunDisplay(log) as display:
            chatter()
            display.console.print("told")
        os.write(1, b"after\n")
        assert terminal.text() == "told\nafter\n"
        assert log.read_text().splitlines() == ["C++ out", "C++ err", "child"]
        with RunDisplay(log):  # appends to an existing log
            os.write(2, b"again\n")
    assert log.read_text().splitlines() == ["C++ out", "C++ err", "child", "again"]


def state() -> tuple[list[tuple[int, int]], list[logging.Handler], int]:
    """Returns the files of standard output and error, the progress logger's handlers, and the number of descriptors."""
    files = [os.fstat(descriptor) for descriptor in (1, 2)]
    listeners = list(logging.getLogger(PROGRESS_LOGGER).handlers)
    return [(file.st_dev, file.st_ino) for file in files], listeners, len(os.listdir("/dev/fd"))


def fail(log: Path, error: BaseException) -> None:
    with RunDisplay(log) as display:
        display.show(NodeEvent("trainer", "running"))
        train(1)
        os.write(2, b"before the error\n")
        raise error


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(2)])
def test_the_terminal_is_back_after_an_error(error: BaseException, tmp_path: Path) -> None:
    with standard_output(*pty.openpty()) as terminal:
        before = state()
        with pytest.raises(type(error)):
            fail(tmp_path / "run.log", error)
        assert state() == before
        train(2)  # no handler is left
        os.write(1, b"after the error\n")
        text = terminal.text(until="after the error")
    assert text.index(SHOW_CURSOR) < text.index("after the error")
    assert "before the error" not in text
    assert "step 2/200" not in text
    assert (tmp_path / "run.log").read_text() == "before the error\n"
