"""Structured logs: one JSON object per line, on standard error. Lines of a repeated message are limited and counted."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import sys
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


#: Reentrant: garbage collection while a line is written may make asyncio log a task's unseen error in the same thread.
_lock = threading.RLock()
_windows: dict[tuple[str, str], _Window] = {}
_timer: threading.Timer | None = None


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


def write_left_out() -> None:
    """Reports how many lines were left out so far; called at the end of the process."""
    global _timer
    with _lock:
        if _timer:
            _timer.cancel()
            _timer = None
        _end_windows(all_of_them=True)


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
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "level": level, "message": message, **fields}, ensure_ascii=False, default=str)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


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
