"""Bounds what one HTTP request, and all together, may take of the service."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TooLongError(Exception):
    """A body with more bytes than allowed."""


class BodyLimit:
    """Answers 413 to a body that is too long, before it is read whole.

    Args:
      app: The application.
      max_bytes: The longest body allowed.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse(send, int(length))
            return
        num_read = 0
        started = False

        async def counted() -> Message:
            nonlocal num_read
            message = await receive()
            num_read += len(message.get("body", b""))
            if num_read > self._max_bytes:
                raise TooLongError
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except TooLongError:
            if started:
                raise
            await self._refuse(send, num_read)

    async def _refuse(self, send: Send, received: int) -> None:
        text = f"a body must have at most {self._max_bytes:,} bytes. Received: {received:,}"
        body = json.dumps({"error": text}).encode()
        headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
