"""Limits the size and the duration of one HTTP request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that passes on requests with a whole body; answers 413 if it is too long, 408 if it is too slow.

    Args:
      app: The ASGI application.
      max_bytes: The longest body allowed.
      seconds: The time within which a body must be whole.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse_length(send, int(length))
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except TimeoutError:
            await _refuse(send, 408, f"a request's body must come within {self._seconds:g} seconds")
            return
        if body is None:
            return
        if len(body) > self._max_bytes:
            await self._refuse_length(send, len(body))
            return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytearray | None:
        """The body, or its beginning if it is too long; None if the client has disconnected."""
        body, more = bytearray(), True
        while more and len(body) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def _refuse_length(self, send: Send, received: int) -> None:
        rule = f"the body must have at most {self._max_bytes:,} bytes"
        await _refuse(send, 413, f"{rule}. Received: {received:,}, and perhaps more")


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    length = (b"content-length", str(len(body)).encode())
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close"), length]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
