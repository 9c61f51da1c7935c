"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import datetime
import json
import logging
import sys


def log(level: str, message: str, **fields: object) -> None:
    """Writes a line.

    Args:
      level: `info`, `warning` or `error`.
      message: What happened.
      **fields: What it happened to.
    """
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
        log(level, record.getMessage(), logger=record.name, **({"traceback": reason} if reason else {}))
