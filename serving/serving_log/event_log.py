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


class EventLog:
    """Writes events; a record of a call's is queued, never waited for. Its counters count calls in place of requests.

    Args:
      settings: The settings of the serving log.

    Raises:
      OSError: If the folder cannot be written to.
    """

    def __init__(self, settings: LogSettings) -> None:
        folder = os.path.join(settings.folder, EVENTS_FOLDER)
        os.makedirs(folder, exist_ok=True)
        self._writer = LogWriter(dataclasses.replace(settings, folder=folder))

    def write(self, events: Sequence[tuple[str, str, str, float, int | None]]) -> None:
        """Logs events of one call: each a request's id, an item's, the type, the time in seconds and the position."""
        requests, items, types, times, positions = zip(*events, strict=True)
        record = LoggedEvents(
            schema_version=SCHEMA_VERSION,
            received_micros=time.time_ns() // 1000,
            request_ids=requests,
            item_ids=items,
            types=[EVENT_TYPES.index(kind) + 1 for kind in types],
            time_micros=[round(seconds * 1e6) for seconds in times],
            positions=[position or 0 for position in positions],
        )
        self._writer.put(self._writer.frame(record.SerializeToString()))

    def close(self) -> None:
        """Writes what is queued, and seals the file."""
        self._writer.close(_CLOSE_SECONDS)
