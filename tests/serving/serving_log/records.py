"""Records of a log for the tests."""

from __future__ import annotations

from typing import Any

from serving.serving_log.record import SCHEMA_VERSION, SCORE_ORDER, LoggedRequest


def record(request_id: str = "r", **fields: Any) -> Any:
    """A record of two candidates, whose fields can be replaced."""
    given = {
        "schema_version": SCHEMA_VERSION,
        "request_id": request_id,
        "time_micros": 1_700_000_000_000_000,
        "user_key": "u1",
        "model": "m",
        "version": 3,
        "signature": "rank",
        "policy": SCORE_ORDER,
        "sample": 1.0,
        "context": b"\x0a\x00",
        "num_returned": 1,
        "item_ids": ["b", "a"],
        "scores": [0.5, 0.25],
    }
    return LoggedRequest(**(given | fields))
