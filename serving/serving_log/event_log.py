"""The log of posted events, in a folder of the serving log's, with the same files, counters and retention."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence

from serving.serving_log.events import EVENT_TYPES, EVENTS_FOLDER, SCHEMA_VERSION, LoggedEvents
from serving.serving_log.settings import LogSettings
from serving.serving_log.writer import LogWriter

#: How long `close` waits for the disk.
_CLOSE_SECONDS = 5.0


#: The events of one call, and when they arrived, in microseconds since 1970: of each its request's id, its item's, its
#: type, its time in seconds since 1970, and its position.
_Call = tuple[int, Sequence[tuple[str, str, str, float, int | None]]]

#: About how many bytes an event takes in the queue.
_EVENT_BYTES = 500


class EventLog:
    """Writes events; those of a call are queued, never waited for. Its counters count calls in place of requests.

    Args:
      settings: The settings of the serving log.

    Raises:
      OSError: If the folder cannot be written to.
    """

    def __init__(self, settings: LogSettings) -> None:
        folder = os.path.join(settings.folder, EVENTS_FOLDER)
        os.makedirs(folder, exist_ok=True)
        self._writer: LogWriter[_Call] = LogWriter(dataclasses.replace(settings, folder=folder), _encode)

    def write(self, events: Sequence[tuple[str, str, str, float, int | None]]) -> None:
        """Logs the events of one call, at least one, each as in `_Call`."""
        self._writer.put((time.time_ns() // 1000, events), _EVENT_BYTES * len(events))

    def close(self) -> None:
        """Writes what is queued, and seals the file."""
        self._writer.close(_CLOSE_SECONDS)


def _encode(call: _Call) -> bytes:
    received, events = call
    requests, items, types, times, positions = zip(*events, strict=True)
    record = LoggedEvents(
        schema_version=SCHEMA_VERSION,
        received_micros=received,
        request_ids=requests,
        item_ids=items,
        types=[EVENT_TYPES.index(kind) + 1 for kind in types],
        time_micros=[round(seconds * 1e6) for seconds in times],
        positions=[position or 0 for position in positions],
    )
    payload: bytes = record.SerializeToString()
    return payload
