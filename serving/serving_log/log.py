"""The serving log as a ranking client uses it: makes a request's id, and queues its record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from serving.serving_log.frames import MAX_PAYLOAD_BYTES
from serving.serving_log.record import SCHEMA_VERSION, SCORE_ORDER, LoggedRequest
from serving.serving_log.request_ids import RequestIds, is_sampled, read_keys
from serving.serving_log.settings import LogSettings
from serving.serving_log.writer import LogWriter

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
        self._writer = LogWriter(settings)

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

    def record(
        self,
        *,
        model: str,
        version: int,
        signature: str,
        context: bytes,
        item_ids: Sequence[str],
        scores: Sequence[float],
        num_returned: int,
        user_key: str = "",
        item_features: Mapping[str, bytes] | None = None,
        in_catalog: Sequence[bool] = (),
        catalog_digest: str = "",
        policy: str = SCORE_ORDER,
        propensities: Sequence[float] = (),
    ) -> str:
        """Logs an answered request, if the log's share takes it; counts it in any case.

        Args:
          model: What answered, with `version` and `signature`.
          version: The model's version.
          signature: The model's signature.
          context: The context's serialized tf.Example as it was sent.
          item_ids: All candidates in the order of the answer.
          scores: Their scores.
          num_returned: How many of them are returned to the caller.
          user_key: The user's key.
          item_features: By item id, the serialized tf.Example that was sent, of those that were sent with one.
          in_catalog: Whether the model's catalog has each candidate; empty if the model does not say it.
          catalog_digest: The digest of the catalog's snapshot; empty if the model does not say it.
          policy: What ordered the candidates.
          propensities: Each candidate's probability of its place; empty if all are 1.

        Returns:
          The request's id, for the answer.
        """
        request_id = self._ids.new()
        if not is_sampled(request_id, self._settings.sample):
            self._writer.count("not_sampled")
        elif len(set(item_ids)) < len(item_ids):
            self._writer.count("doubled_item")
        else:
            record = LoggedRequest(
                schema_version=SCHEMA_VERSION,
                request_id=request_id,
                time_micros=time.time_ns() // 1000,
                user_key=user_key,
                model=model,
                version=version,
                signature=signature,
                policy=policy,
                sample=self._settings.sample,
                context=context,
                catalog_digest=catalog_digest,
                num_returned=num_returned,
                item_ids=item_ids,
                scores=scores,
                propensities=propensities,
                item_features=[item_features.get(item_id, b"") for item_id in item_ids] if item_features else (),
                in_catalog=in_catalog,
            )
            payload = record.SerializeToString()
            if len(payload) > MAX_PAYLOAD_BYTES:
                self._writer.count("too_long")
            else:
                self._writer.put(self._writer.frame(payload))
        return request_id
