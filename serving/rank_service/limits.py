"""Limits the size and the duration of one HTTP request."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.model_server.guard.unfinished_bodies import UnfinishedBodies, UnfinishedBody
from serving.rank_service.problems import problem

#: The bodies that have not arrived whole may take as many bytes together as this many of the longest.
_MAX_BODIES = 16


class BodyLimit:
    """ASGI middleware that passes on requests with a whole body.

    It answers 413 if the body is too long, 408 if it is too slow, and 429 if it stalls while others need its memory.

    Args:
      app: The ASGI application.
      max_bytes: The longest body allowed.
      seconds: The time within which a body must be whole.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds
        self._unfinished = UnfinishedBodies(_MAX_BODIES * max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse_length(int(length))(scope, receive, send)
            return
        with self._unfinished.one(limit := asyncio.timeout(self._seconds)) as unfinished:
            try:
                async with limit:
                    body = await self._read(receive, unfinished)
            except TimeoutError:
                await self._refuse_late(unfinished)(scope, receive, send)
                return
        if body is None:
            return
        if len(body) > self._max_bytes:
            await self._refuse_length(len(body))(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive, unfinished: UnfinishedBody) -> bytearray | None:
        """The body, or its beginning if it is too long; None if the client has disconnected."""
        body, more = bytearray(), True
        while more and len(body) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            unfinished.add(len(part))
            body += part
            more = message.get("more_body", False)
        return body

    def _refuse_late(self, unfinished: UnfinishedBody) -> JSONResponse:
        if unfinished.dropped:
            rule = f"unfinished bodies of {self._unfinished.max_bytes:,} bytes are there already; try again later"
            return _refusal(429, rule)
        return _refusal(408, f"a request's body must come within {self._seconds:g} seconds")

    def _refuse_length(self, received: int) -> JSONResponse:
        rule = f"the body must have at most {self._max_bytes:,} bytes"
        return _refusal(413, f"{rule}. Received: {received:,}, and perhaps more")


def _refusal(status: int, text: str) -> JSONResponse:
    return problem(status, text, {"connection": "close"})
