"""Structured logs: one JSON object a line, on standard error; of a flood of one error, some lines and their number."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import sys
import threading
import time
from collections.abc import Mapping

#: Of one message, in so many seconds, so many lines; then a line with the number of those that were left out.
MAX_LINES = 20
WINDOW_SECONDS = 10.0

#: How many messages have a window at once; the server has about thirty, libraries add theirs.
_MAX_MESSAGES = 1000


@dataclasses.dataclass
class _Window:
    """What was logged of a message lately.

    Attributes:
      ends: On `time.monotonic`'s clock.
      num_lines: How many lines were written or left out.
    """

    ends: float
    num_lines: int = 0


#: A garbage collection while a line is written may have asyncio log, by this thread, that a task's error was not seen.
_lock = threading.RLock()
_windows: dict[tuple[str, str], _Window] = {}
_timer: threading.Timer | None = None


def log(level: str, message: str, **fields: object) -> None:
    """Writes a line, unless there were too many of the same warning or error lately.

    Args:
      level: `info`, `warning` or `error`.
      message: What happened.
      **fields: What it happened to.
    """
    _log(level, message, message, fields)


def _log(level: str, kind: str, message: str, fields: Mapping[str, object]) -> None:
    """As `log`; messages of the same kind count as the same."""
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
    """Says what was left out, if nothing else is logged meanwhile."""
    global _timer
    with _lock:
        _timer = None
        _end_windows()
        if ends := [window.ends for window in _windows.values() if window.num_lines > MAX_LINES]:
            _start_timer(min(ends) - _now())


def write_left_out() -> None:
    """Says what was left out so far; at the end of the process."""
    global _timer
    with _lock:
        if _timer:
            _timer.cancel()
            _timer = None
        _end_windows(all_of_them=True)


def _end_windows(*, all_of_them: bool = False) -> None:
    """Ends the windows whose time is up, each with a line if lines were left out."""
    now = _now()
    for (level, message), window in list(_windows.items()):
        if all_of_them or window.ends <= now or len(_windows) > _MAX_MESSAGES:
            if _windows.get((level, message)) is not window:
                continue  # a line that is written here may have another one logged, by which it has ended
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


class LibraryLog(logging.Handler):
    """Writes what a library tells Python's `logging` as lines of the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        reason = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        fields = {"logger": record.name, **({"traceback": reason} if reason else {})}
        _log(level, str(record.msg), record.getMessage(), fields)
