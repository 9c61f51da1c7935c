"""Tests of `/v1/events` of the HTTP service, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from serving.serving_log.events import EVENT_TYPES, LoggedEvents
from serving.serving_log.reader import ReadCounts, read_payloads
from tests.serving.ranking_client.running import ranking_service
from tests.serving.serving_log.logs import settings
from transform.config import serving_log

SHOWN = {"request": "r", "item": "x", "type": "shown", "time": 1_796_083_200.25, "position": 2}

#: A body, and what is said of it.
BAD: list[tuple[Any, str]] = [
    ({"events": []}, "body.events: List should have at least 1 item"),
    ({"events": [SHOWN] * 1_001}, "body.events: List should have at most 1000 items"),
    ({"events": [{**SHOWN, "type": "bought"}]}, "body.events.0.type: Input should be 'shown', 'install', 'click' or"),
    ({"events": [{**SHOWN, "position": None}]}, "an event of the type `shown` has a `position`, and no other has one"),
    ({"events": [{**SHOWN, "type": "click"}]}, "an event of the type `shown` has a `position`, and no other has one"),
    ({"events": [{**SHOWN, "time": "today"}]}, "body.events.0.time: Input should be a valid number"),
    ({"events": [{**SHOWN, "time": 1e10}]}, "body.events.0.time: Input should be less than 4102444800"),
    ({"events": [{**SHOWN, "position": 0}]}, "body.events.0.position: Input should be greater than or equal to 1"),
    ({"events": [{**SHOWN, "request": "r" * 65}]}, "body.events.0.request: String should have at most 64 characters"),
    ({"events": [{**SHOWN, "more": 1}]}, "body.events.0.more: Extra inputs are not permitted"),
]


def test_events_are_written_as_they_were_posted_and_a_bad_body_is_told_why(server: str, tmp_path: Path) -> None:
    log = settings(tmp_path / "log")
    options = ("--log-dir", log.folder, "--log-key", log.key_file)
    install = {"request": "r", "item": "x", "type": "install", "time": 1_796_083_260}
    with ranking_service(server, "tiny", tmp_path / "out", *options) as url:
        answer = httpx.post(f"{url}/v1/events", json={"events": [SHOWN, install]}, timeout=30)
        assert (answer.status_code, answer.json()) == (202, {"events": 2})
        for body, sentence in BAD:
            refused = httpx.post(f"{url}/v1/events", json=body, timeout=30)
            assert refused.status_code == 422
            assert sentence in refused.json()["error"]
    counts = ReadCounts()
    (path,) = (tmp_path / "log" / "events").glob("*.log")
    (record,) = map(LoggedEvents.FromString, read_payloads(str(path), counts))
    assert counts == ReadCounts()
    assert (list(record.request_ids), list(record.item_ids)) == (["r", "r"], ["x", "x"])
    assert (list(record.types), list(record.positions)) == ([1, 2], [2, 0])
    assert list(record.time_micros) == [1_796_083_200_250_000, 1_796_083_260_000_000]
    assert record.received_micros > 1_700_000_000_000_000


def test_a_service_without_a_log_takes_no_events(server: str, tmp_path: Path) -> None:
    with ranking_service(server, "tiny", tmp_path / "out") as url:
        assert httpx.post(f"{url}/v1/events", json={"events": [SHOWN]}, timeout=30).status_code == 404


def test_the_types_are_those_that_ingestion_knows() -> None:
    assert EVENT_TYPES == serving_log.EVENT_TYPES
