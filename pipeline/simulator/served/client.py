"""The simulated store as a client of the rank service, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from transform.errors import UserError

_CONCURRENCY = 8
_EVENTS_AT_ONCE = 1_000
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """A rank service's answer to one request.

    Attributes:
      version: The model's version.
      request_id: The request's id; empty if the service has no log.
      items: The ids of the items, in the order in which they are shown.
      time: When it came, in seconds since 1970.
    """

    version: int
    request_id: str
    items: tuple[str, ...]
    time: float


class RankService:
    """A rank service; `with` closes the connections.

    Args:
      url: Its address, such as `http://127.0.0.1:8080`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, limits=httpx.Limits(max_connections=_CONCURRENCY))
        self._threads = ThreadPoolExecutor(_CONCURRENCY)

    def __enter__(self) -> RankService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def rank(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """Sends the bodies to `/rank`, several at once, and returns the answers in the bodies' order.

        Raises:
          UserError: If one is not answered, or not with as many of its candidates as it asks for.
        """
        return list(self._threads.map(self._rank, bodies))

    def post_events(self, events: Sequence[dict[str, Any]]) -> None:
        """Sends events to `/v1/events`, several bodies at once.

        Raises:
          UserError: If one is not accepted.
        """
        bodies = [{"events": events[at : at + _EVENTS_AT_ONCE]} for at in range(0, len(events), _EVENTS_AT_ONCE)]
        list(self._threads.map(lambda body: self._post("/v1/events", body), bodies))

    def _rank(self, body: dict[str, Any]) -> Answer:
        answer = self._post("/rank", body)
        items = tuple(item["id"] for item in answer["items"])
        sent = {candidate if isinstance(candidate, str) else candidate["id"] for candidate in body["candidates"]}
        if len(set(items)) != len(items) or len(items) != body["k"] or not sent.issuperset(items):
            raise UserError(
                f"a ranking must have {body['k']} of its request's candidates, each once. "
                f"Received: {len(items)} items, {len(sent.intersection(items))} of them candidates ({self._url}/rank)"
            )
        return Answer(int(answer["version"]), str(answer.get("request_id", "")), items, time.time())

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        try:
            response = self._client.post(self._url + path, json=body)
        except httpx.TransportError as error:
            raise UserError(
                f"the rank service must answer. Received: {error or type(error).__name__} ({self._url}{path})"
            ) from error
        if response.is_error:
            raise UserError(
                f"the rank service must answer with success. Received: {response.status_code}, {response.text[:300]} "
                f"({self._url}{path})"
            )
        return response.json() if response.content else None
