"""Logs for the tests: settings, records, and what a folder holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from serving.serving_log.folder import accounts
from serving.serving_log.log import ServingLog
from serving.serving_log.reader import ReadCounts, read_records
from serving.serving_log.settings import LogSettings

KEY = b"k" * 32


def settings(folder: Path, **given: Any) -> LogSettings:
    """Settings of a log in a folder, which is made; its key is beside it."""
    key = folder.parent / f"{folder.name}.key"
    key.write_bytes(KEY)
    folder.mkdir(exist_ok=True)
    return LogSettings(str(folder), str(key), **given)


def log_one(log: ServingLog, number: int = 0, **given: Any) -> str:
    """Logs a request of two candidates; the version is its number."""
    fields: dict[str, Any] = {
        "model": "m",
        "version": number,
        "signature": "rank",
        "policy": "score_order",
        "context": b"\x0a\x00",
        "item_ids": ["b", "a"],
        "scores": [0.5, 0.25],
        "num_returned": 2,
    }
    request_id = log.new_id()
    log.record(request_id, lambda: fields | given, 200)
    return request_id


def records(folder: Path) -> list[Any]:
    """The records of a folder's sealed files, all of which must be whole."""
    counts = ReadCounts()
    found = list(read_records([str(path) for path in sorted(folder.glob("*.log"))], counts))
    assert counts == ReadCounts(records=len(found))
    return found


def logged_ids(folder: Path, counts: ReadCounts | None = None) -> list[str]:
    """The ids of all records in a folder, sealed or not."""
    paths = [str(path) for path in sorted(folder.iterdir()) if path.suffix in (".log", ".open")]
    return [record.request_id for record in read_records(paths, counts or ReadCounts())]


def totals(folder: Path) -> dict[str, int]:
    """The sums of all writers' counters."""
    found: dict[str, int] = {}
    for counters in accounts(str(folder)).values():
        for name, value in counters.items():
            found[name] = found.get(name, 0) + value
    return found


def suffixes(folder: Path) -> list[str]:
    """The kinds of a folder's files, sorted."""
    return sorted(os.path.splitext(name)[1] for name in os.listdir(folder))
