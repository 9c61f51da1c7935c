"""Live display of a run: the terminal shows its progress; all other output goes to a log file."""

from __future__ import annotations

import datetime
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from trainer.training.progress import PROGRESS_LOGGER
from trainer.training.progress import Progress as TrainingProgress

if TYPE_CHECKING:  # importing it imports TFX, whose start-up messages must not reach the terminal
    from pipeline.runner.launch import NodeEvent

#: Without a terminal: the training's progress is printed at most once in PLAIN_SECONDS; after HEARTBEAT_SECONDS without
#: any output, the display prints which node is running.
PLAIN_SECONDS = 15.0
HEARTBEAT_SECONDS = 60.0


class _Clock(ProgressColumn):
    """The time since a node's start. Rich's own column stops when the training's last step is done."""

    def render(self, task: Task) -> Text:
        return Text(str(datetime.timedelta(seconds=int(task.elapsed or 0.0))), style="progress.elapsed")


class _Trimmed:
    """Writes text without the trailing spaces with which Rich pads a table's last column.

    It does not derive from `io.TextIOBase`, which closes the file when it is garbage-collected.
    """

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(re.sub(r" +(?=\n)", "", text))
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def console_for(file: TextIO) -> Console:
    """Returns a console; for a file or a pipe it is 1,000 columns wide, so that paths are not wrapped.

    It shows a text such as `:x:` as it is, and no emoji in its place.
    """
    if file.isatty():
        return Console(file=file, highlight=False, emoji=False)
    return Console(file=cast(TextIO, _Trimmed(file)), width=1000, highlight=False, emoji=False)


def _flush(stream: TextIO) -> None:
    """Writes what a stream has buffered; if the disk is full, discards it, so that it reaches no other file later."""
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        stream.flush()


class RunDisplay(logging.Handler):
    """Shows when nodes start and end, and the training's progress in between.

    Inside its context, the process's standard output and error (which TensorFlow's C++ code writes to as well) go to
    the log file; `console` still writes to the terminal, by the process's standard output or standard error.
    """

    def __init__(self, log_path: Path, *, to_stderr: bool = False):
        """Sets the log's path, and the stream that `console` writes to; the file is created in the context."""
        super().__init__()
        self._log_path = log_path
        self._to_stderr = to_stderr
        self.console = Console(highlight=False)
        self._progress: Progress | None = None
        self._last_line = 0.0
        self.node = ""
        self._node_started = self._last_printed = time.monotonic()
        self._is_over = threading.Event()
        self._heartbeat = threading.Thread(target=self._tell_that_it_runs, daemon=True)

    def __enter__(self) -> RunDisplay:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        self._saved = [os.dup(1), os.dup(2)]
        with self._log_path.open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        terminal = os.fdopen(os.dup(self._saved[1 if self._to_stderr else 0]), "w", encoding="utf-8")
        self.console = console_for(terminal)
        if self.console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[detail]}"),
                _Clock(),
                console=self.console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.start()
        else:
            self._heartbeat.start()
        logging.getLogger("trainer").setLevel(logging.INFO)  # the log file takes all its messages
        logging.getLogger(PROGRESS_LOGGER).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(PROGRESS_LOGGER).removeHandler(self)
        self._is_over.set()
        if self._heartbeat.ident is not None:
            self._heartbeat.join()
        if self._progress is not None:
            self._progress.stop()
        self.console.file.close()
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        for target, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, target)
            os.close(saved)
        self.console = Console(highlight=False)

    def show(self, event: NodeEvent) -> None:
        """Shows that a node has started or ended."""
        if event.state == "running":
            self.node = event.node_id
            self._last_line = 0.0
            self._node_started = self._last_printed = time.monotonic()
            if self._progress is not None:
                self._task = self._progress.add_task(event.node_id, total=None, detail="")
            else:
                self.console.print(f"{event.node_id} …")
            return
        how = "taken from the cache" if event.state == "cached" else f"{event.seconds:.1f} s"
        if self._progress is not None:
            self._progress.remove_task(self._task)
        self.console.print(f"[green]✓[/green] {event.node_id}: {how}")

    def emit(self, record: logging.LogRecord) -> None:
        """Shows the training's progress; called by `logging`."""
        stage, progress = getattr(record, "stage", None), getattr(record, "progress", None)
        if isinstance(stage, str):
            text, step, num_steps = stage, None, None
        elif isinstance(progress, TrainingProgress):
            text = (
                f"step {progress.step}/{progress.num_steps}, {progress.examples_per_second:,.0f} examples/s, "
                f"loss {progress.loss:.4f}, {progress.seconds_left:.0f} s left"
            )
            step, num_steps = progress.step, progress.num_steps
        else:
            return
        if self._progress is not None:
            self._progress.update(self._task, detail=text, total=num_steps, completed=step)
        elif record.created - self._last_line >= PLAIN_SECONDS:
            self._last_line, self._last_printed = record.created, time.monotonic()
            self.console.print(f"  {self.node}: {text}")

    def _tell_that_it_runs(self) -> None:
        """Prints the running node after a time without output; used without a terminal."""
        while not self._is_over.wait(HEARTBEAT_SECONDS / 4):
            now = time.monotonic()
            if self.node and now - self._last_printed >= HEARTBEAT_SECONDS:
                self._last_printed = now
                self.console.print(f"  {self.node}: running for {now - self._node_started:.0f} s")
