"""The serving log as a ranking client uses it: makes a request's id, and queues its record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from serving.serving_log.frames import MAX_PAYLOAD_BYTES
from serving.serving_log.record import SCHEMA_VERSION, LoggedRequest
from serving.serving_log.request_ids import RequestIds, is_sampled, read_keys
from serving.serving_log.settings import LogSettings
from serving.serving_log.writer import LogWriter

#: A request that waits for its record: its id, its time in microseconds, and what returns the record's fields.
Entry: TypeAlias = tuple[str, int, Callable[[], Mapping[str, Any]]]

_LOGGER = logging.getLogger(__name__)

#: How long `close` waits for the disk.
_CLOSE_SECONDS = 5.0


class ServingLog:
    """Writes a record of each answered request; safe to share between threads and clients. `with` closes it.

    A record is queued, never waited for: with a full queue, or a disk that is full or stalls, it is dropped and
    counted.

    Args:
      settings: The log's settings.

    Raises:
      InputError: If the file of keys has no valid key.
      OSError: If it cannot be read, or the folder cannot be written to.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._ids = RequestIds(read_keys(settings.key_file))
        self._writer = LogWriter(settings, self._encode)

    def __enter__(self) -> ServingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Writes what is queued, waiting at most `timeout` seconds for the disk, and seals the file."""
        self._writer.close(timeout)

    def values(self) -> dict[str, int]:
        """The counters by name: those of `counters`, and what this process found of others' (`LogWriter.values`)."""
        return self._writer.values()

    def new_id(self) -> str:
        """Returns a new request's id, by which exploration draws, and which the answer and the record have."""
        return self._ids.new()

    def record(self, request_id: str, fields: Callable[[], Mapping[str, Any]], num_bytes: int) -> None:
        """Logs an answered request, if the log's share takes it; counts it in any case.

        Args:
          request_id: The request's id, of `new_id`.
          fields: Returns the record's fields (`record.LoggedRequest`) but for those that the log has itself:
            `schema_version`, `request_id`, `time_micros` and `sample`. It is called later, in the writer's thread: a
            batch of records takes less processor time than the same records made one by one between requests.
          num_bytes: About how many bytes wait in the queue.
        """
        if is_sampled(request_id, self._settings.sample):
            self._writer.put((request_id, time.time_ns() // 1000, fields), num_bytes)
        else:
            self._writer.count("not_sampled")

    def _encode(self, entry: Entry) -> bytes | str:
        """Returns a request's serialized record, or why there is none, one of `DROPPED`."""
        request_id, time_micros, fields = entry
        try:
            record = LoggedRequest(
                schema_version=SCHEMA_VERSION,
                request_id=request_id,
                time_micros=time_micros,
                sample=self._settings.sample,
                **fields(),
            )
        except (TypeError, ValueError):  # a mistake in the caller's fields must not end the log
            _LOGGER.exception("a record of the serving log cannot be made, and is dropped")
            return "invalid"
        if len(set(record.item_ids)) < len(record.item_ids):
            return "doubled_item"
        payload: bytes = record.SerializeToString()
        return payload if len(payload) <= MAX_PAYLOAD_BYTES else "too_long"
