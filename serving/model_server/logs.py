"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import datetime
import json
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
