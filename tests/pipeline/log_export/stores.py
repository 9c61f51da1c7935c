"""A small store's serving log for the tests: requests as the client logs them, events, and where catalogs are."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from serving.serving_log.event_log import EventLog
from serving.serving_log.log import ServingLog
from tests.serving.serving_log.logs import settings

#: The items of the catalog `d1`.
CATALOG = {b"x": {"price": 1.5}, b"y": {"price": 0.1}}


def example(**features: Any) -> bytes:
    """Returns a serialized tf.Example of texts and numbers, or lists of them."""
    found = {}
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(values[0], float):
            found[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            texts = [text if isinstance(text, bytes) else text.encode() for text in values]
            found[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString()
    return serialized


def catalogs(version: int, digest: str) -> Mapping[bytes, bytes] | None:
    """The catalog `d1`; there is no other."""
    return {key: example(**item) for key, item in CATALOG.items()} if digest == "d1" else None


def log_requests(folder: Path, requests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Logs requests into one sealed file; returns their ids."""
    given: dict[str, Any] = {
        "model": "store",
        "version": 7,
        "signature": "rank",
        "num_returned": 1,
        "catalog_digest": "d1",
    }
    given |= {
        "context": example(page="top", owned=["a", "b"]),
        "item_ids": ["x", "y"],
        "scores": [0.5, 0.25],
        "num_returned": 1,
    }
    with ServingLog(settings(folder)) as log:
        ids = [log.new_id() for _ in requests]
        for request_id, request in zip(ids, requests, strict=True):
            log.record(request_id, functools.partial(_fields, given, request), 100)
    return ids


def _fields(given: Mapping[str, Any], request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"policy": "score_order", **given, **request}


def log_events(folder: Path, *calls: Sequence[tuple[str, str, str, float, int | None]]) -> None:
    """Logs the events of calls into one sealed file."""
    log = EventLog(settings(folder))
    for events in calls:
        log.write(events)
    log.close()
