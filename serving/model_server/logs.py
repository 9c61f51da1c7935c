"""Structured logs: one JSON object per line, on standard error. Lines of a repeated message are limited and counted.

No caller waits for standard error, or fails with it: a thread writes the lines. If they come faster than it can write
them, or it cannot write them, as on a full disk, they are lost, and counted.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping

#: The most lines of one message in a window of this length; a further line then reports how many were left out.
MAX_LINES = 20
WINDOW_SECONDS = 10.0

#: The most messages with an open window; the server has about thirty messages, and libraries add theirs.
_MAX_MESSAGES = 1000


@dataclasses.dataclass
class _Window:
    """The recent lines of one message.

    Attributes:
      ends: When the window ends, on `time.monotonic`'s clock.
      num_lines: The number of lines that were written or left out.
    """

    ends: float
    num_lines: int = 0


#: The most lines that wait to be written; further ones are lost.
MAX_WAITING = 1000

#: The longest wait, at the end of the process, for lines to be written.
END_SECONDS = 2.0

_STANDARD_ERROR = 2

#: Reentrant: garbage collection while a line is written may make asyncio log a task's unseen error in the same thread.
_lock = threading.RLock()
_windows: dict[tuple[str, str], _Window] = {}
_timer: threading.Timer | None = None

#: The lines to be written; an event is set when the lines before it are. A `SimpleQueue`, since its `put` may be called
#: within itself, by garbage collection as above. It has no bound of its own.
_lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
_writer: threading.Thread | None = None
_num_lost = 0


def log(level: str, message: str, **fields: object) -> None:
    """Writes a line, unless its window already has too many of the same warning or error.

    Args:
      level: `info`, `warning` or `error`.
      message: What happened.
      **fields: Further fields of the line, such as the model that it concerns.
    """
    _log(level, message, message, fields)


def _log(level: str, kind: str, message: str, fields: Mapping[str, object]) -> None:
    """As `log`, but messages of the same kind share a window."""
    with _lock:
        _end_windows()
        if level != "info":
            window = _windows.setdefault((level, kind), _Window(_now() + WINDOW_SECONDS))
            window.num_lines += 1
            if window.num_lines > MAX_LINES:
                _start_timer(WINDOW_SECONDS)
                return
        _write(level, message, fields)


def _start_timer(seconds: float) -> None:
    global _timer
    if _timer is None:
        _timer = threading.Timer(seconds, _on_time)
        _timer.daemon = True
        _timer.start()


def _on_time() -> None:
    """Reports how many lines were left out, for when nothing else is logged meanwhile."""
    global _timer
    with _lock:
        _timer = None
        _end_windows()
        if ends := [window.ends for window in _windows.values() if window.num_lines > MAX_LINES]:
            _start_timer(min(ends) - _now())


def finish() -> None:
    """Reports how many lines were left out so far, and waits until all are written; called at the end of the process.

    It does not wait longer than `END_SECONDS`.
    """
    global _timer
    with _lock:
        if _timer:
            _timer.cancel()
            _timer = None
        _end_windows(all_of_them=True)
    flush()


def flush() -> None:
    """Waits until the lines so far are written or lost, for at most `END_SECONDS`."""
    if _writer:
        _lines.put(written := threading.Event())
        written.wait(END_SECONDS)


def num_lost() -> int:
    """The number of lines that could not be written, so far."""
    return _num_lost


def _end_windows(*, all_of_them: bool = False) -> None:
    """Ends the windows that have expired, and reports how many lines of each were left out."""
    now = _now()
    for (level, message), window in list(_windows.items()):
        if all_of_them or window.ends <= now or len(_windows) > _MAX_MESSAGES:
            if _windows.get((level, message)) is not window:
                continue  # writing a line above may have logged another one, which ended this window
            del _windows[level, message]
            if window.num_lines > MAX_LINES:
                _write(level, "lines were left out", {"of": message, "lines": window.num_lines - MAX_LINES})


def _now() -> float:
    return time.monotonic()


def _write(level: str, message: str, fields: Mapping[str, object]) -> None:
    global _writer
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "level": level, "message": message, **fields}, ensure_ascii=False, default=str)
    if _lines.qsize() >= MAX_WAITING:
        _lose()
        return
    _lines.put((line + "\n").encode(errors="backslashreplace"))
    if _writer is None:
        _writer = threading.Thread(target=_write_lines, daemon=True, name="log")
        _writer.start()


def _lose() -> None:
    global _num_lost
    with _lock:
        _num_lost += 1


def _write_lines() -> None:
    """Writes the lines, past `sys.stderr`: the end of the process would wait for a lock that its buffer holds."""
    start = b""
    while True:
        line = _lines.get()
        if isinstance(line, threading.Event):
            line.set()
            continue
        left = start + line
        try:
            while left:
                left = left[os.write(_STANDARD_ERROR, left) :]
            start = b""
        except OSError:  # such as a full disk, or a reader that has gone
            _lose()
            start = b"\n"  # ends the line that was cut


class FolderLog:
    """Logs the problems of models' folders, each only once for as long as it lasts.

    Use it only in the event loop's thread.
    """

    def __init__(self) -> None:
        #: Each model, empty for all models, and message.
        self._said: set[tuple[str, str]] = set()

    def say(self, model: str, message: str, **fields: object) -> None:
        """Logs a problem of a model's folder, or of all models' folders if `model` is empty, unless it was logged."""
        if (model, message) not in self._said:
            self._said.add((model, message))
            log("error", message, **({"model": model} if model else {}), **fields)

    def end(self, model: str, message: str) -> None:
        """Ends a problem: it is logged again if it comes back."""
        self._said.discard((model, message))

    def end_all_but(self, model: str, messages: Iterable[str] = ()) -> None:
        """Ends all problems of a model except the given ones."""
        kept = set(messages)
        self._said = {(name, message) for name, message in self._said if name != model or message in kept}


class LibraryLog(logging.Handler):
    """Writes what libraries log with Python's `logging` as lines of the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        reason = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        fields = {"logger": record.name, **({"traceback": reason} if reason else {})}
        _log(level, str(record.msg), record.getMessage(), fields)
