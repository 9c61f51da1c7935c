"""Tests of connections that their client keeps open by not receiving the response, and of a request with two ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from serving.model_server.guard.http_connection import bounded_protocol
from serving.model_server.protocol.rest_server import listen

#: More than the kernel buffers for a client that does not read.
_ANSWER_BYTES = 32 << 20

_PATIENCE_SECONDS = 30.0

_LAST_REQUEST = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
_REQUEST = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    size = _ANSWER_BYTES if scope["path"] == "/large" else 1
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(size).encode())]}
    await send(head)
    await send({"type": "http.response.body", "body": bytes(size)})


@contextlib.asynccontextmanager
async def _running(seconds: float, most: int | None = None, **options: Any) -> AsyncIterator[tuple[int, set[Any]]]:
    """Runs a server with this bound on connections; yields its port and its connections."""
    protocol = bounded_protocol(seconds, most)
    config = uvicorn.Config(_answer, http=protocol, ws="none", lifespan="off", log_config=None, **options)
    server, listener = uvicorn.Server(config), listen("127.0.0.1", 0)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = server.force_exit = True
        await task


async def _connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return connection


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("request_bytes", "options"), [(_LAST_REQUEST, {}), (_REQUEST, {"timeout_keep_alive": 0.05})])
def test_a_closed_connection_whose_client_takes_nothing_ends(request_bytes: bytes, options: dict[str, Any]) -> None:
    async def ends() -> None:
        async with _running(0.2, **options) as (port, connections):
            with await _connect(port) as connection:
                await asyncio.get_running_loop().sock_sendall(connection, request_bytes)
                await _until(lambda: any(each.transport.is_closing() for each in connections))
                assert connections
                await _until(lambda: not connections)

    asyncio.run(ends())


def test_a_closed_connection_makes_room_before_one_that_waits() -> None:
    async def makes_room() -> None:
        loop = asyncio.get_running_loop()
        async with _running(_PATIENCE_SECONDS, 2) as (port, connections):
            with await _connect(port) as waiting, await _connect(port) as stuck:
                await loop.sock_sendall(stuck, _LAST_REQUEST)
                await _until(lambda: any(each.transport.is_closing() for each in connections))
                with await _connect(port) as newcomer:
                    for connection in (newcomer, waiting):
                        await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                        assert (await loop.sock_recv(connection, 65536)).startswith(b"HTTP/1.1 200 OK")
                    assert len(connections) == 2

    asyncio.run(makes_room())


def test_many_at_once_end_no_more_than_the_room_that_they_need() -> None:
    async def connect() -> None:
        async with _running(_PATIENCE_SECONDS, 3) as (port, connections), contextlib.AsyncExitStack() as stack:
            for _ in range(7):
                connection = socket.create_connection(("127.0.0.1", port))  # blocks the event loop, which then sees all
                stack.enter_context(connection)
            await _until(lambda: bool(connections))
            await _until(lambda: len(connections) == 3)
            await asyncio.sleep(0.05)
            assert len(connections) == 3

    asyncio.run(connect())


def test_a_request_has_one_end() -> None:
    """By Content-Length, which another server on its way may go by, what follows the body is a second request."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"

    async def answer() -> bytes:
        async with _running(30.0) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + b"0\r\n\r\n" + _REQUEST)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                found = await reader.read()
            writer.close()
            return found

    found = asyncio.run(answer())
    assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert found.endswith(b'{"error": "a request must not have both Content-Length and Transfer-Encoding"}')
