"""Events as rows: those that callers posted, and those of JSON Lines files."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from serving.rank_service.event_bodies import Event
from serving.serving_log.events import EVENT_TYPES, SCHEMA_VERSION, LoggedEvents, is_whole
from serving.serving_log.request_ids import is_sampled
from transform.config.serving_log import EVENT_TYPE, FORGED, ITEM_ID, POSITION, RECEIVED, REQUEST_ID, TIMESTAMP
from transform.raw_texts import trimmed

#: A line of a file of events is at most so long, in bytes.
MAX_LINE_BYTES = 16_384

_MICROS = 1_000_000
_DAY, _HOUR = 86_400.0, 3_600.0

_SCHEMA = pa.schema(
    {
        REQUEST_ID: pa.string(),
        ITEM_ID: pa.string(),
        EVENT_TYPE: pa.string(),
        TIMESTAMP: pa.timestamp("us", "UTC"),
        POSITION: pa.float32(),
        FORGED: pa.bool_(),
        RECEIVED: pa.timestamp("us", "UTC"),
    }
)

#: Of an event: the request's id, the item's, the type, the time and the arrival in microseconds, the position.
EventTuple = tuple[str, str, str, int, int | None, int | None]


def posted_events(payloads: Iterable[bytes], skipped: collections.Counter[str]) -> Iterator[EventTuple]:
    """Yields the events of the records that the service wrote; counts the records that it skips, by reason."""
    for payload in payloads:
        try:
            record = LoggedEvents.FromString(payload)
        except DecodeError:
            skipped["no_records"] += 1
            continue
        if record.schema_version > SCHEMA_VERSION:
            skipped["newer_records"] += 1
        elif record.schema_version < 1 or not is_whole(record):
            skipped["no_records"] += 1
        else:
            yield from _events_of(record)


def _events_of(record: Any) -> Iterator[EventTuple]:
    columns = (record.request_ids, record.item_ids, record.types, record.time_micros, record.positions)
    for request, item, kind, micros, position in zip(*columns, strict=True):
        name = EVENT_TYPES[kind - 1] if 1 <= kind <= len(EVENT_TYPES) else ""
        yield request, item, name, micros, record.received_micros, position or None


def filed_events(lines: Iterable[bytes], skipped: collections.Counter[str], now: float) -> Iterator[EventTuple]:
    """Yields the events of the lines of a file; counts the lines that are none.

    Nobody has written when they arrived: an event is taken to have arrived when it happened, but not after `now`.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError
            found = Event.model_validate_json(line)
        except (ValidationError, ValueError):
            skipped["bad_lines"] += 1
            continue
        micros = round(found.time * _MICROS)
        yield found.request, found.item, found.type, micros, min(micros, round(now * _MICROS)), found.position


class EventRows:
    """Turns events into rows, and says by which time each is filed.

    Args:
      are_ours: Whether a request's id has the right MAC; None if there is no key to tell.
      request_times: The ids of requests of this export as `id`, and their times in seconds since 1970 as `time`.
      sample: The share of requests that the log has.

    Attributes:
      skipped: Events without a row, by reason.
    """

    def __init__(self, are_ours: Callable[[str], bool] | None, request_times: pa.Table, sample: float):
        self._are_ours, self._requests, self._sample = are_ours, request_times, sample
        self.skipped: collections.Counter[str] = collections.Counter()

    def table(self, events: Iterable[EventTuple]) -> tuple[pa.Table, npt.NDArray[np.float64]]:
        """Returns the rows of events, and float64 `[rows]`, by which time each is filed.

        That is when it arrived; but an item that was shown before midnight, of which the event arrived within the hour
        after it, is filed with its request's day.
        """
        rows = [(r, trimmed(i), k, t, p, a) for r, i, k, t, a, p in events]
        request, item, kind, micros, position, received = zip(*rows, strict=True) if rows else ((),) * 6
        requests = pa.array(request, pa.string())
        encoded = requests.dictionary_encode()
        ours = [True if self._are_ours is None else self._are_ours(text) for text in encoded.dictionary.to_pylist()]
        forged = ~np.array(ours, bool)[np.asarray(encoded.indices, np.int64)] if len(ours) else np.zeros(0, bool)
        arrays = (requests, item, kind, micros, position, forged, received)
        columns = [pa.array(values, field.type) for values, field in zip(arrays, _SCHEMA, strict=True)]
        filed = np.array(received, np.float64) / _MICROS
        at = np.asarray(pc.fill_null(pc.index_in(encoded.dictionary, self._requests["id"].combine_chunks()), -1))
        if len(filed) and len(self._requests):
            places = at[np.asarray(encoded.indices, np.int64)]
            times = np.asarray(self._requests["time"])[places]
            midnight = (np.floor_divide(times, _DAY) + 1) * _DAY
            is_of_day = (places >= 0) & (np.array(kind) == EVENT_TYPES[0]) & (filed >= midnight)
            is_of_day &= filed < midnight + _HOUR
            filed = np.where(is_of_day, midnight - 1, filed)
        if self._are_ours is not None and self._sample < 1:  # their requests were never to be logged
            sampled = [
                our and is_sampled(text, self._sample)
                for text, our in zip(encoded.dictionary.to_pylist(), ours, strict=True)
            ]
            kept = forged | np.array(sampled, bool)[np.asarray(encoded.indices, np.int64)]
            self.skipped["not_sampled_events"] += int((~kept).sum())
            return pa.table(columns, schema=_SCHEMA).filter(pa.array(kept)), filed[kept]
        return pa.table(columns, schema=_SCHEMA), filed
