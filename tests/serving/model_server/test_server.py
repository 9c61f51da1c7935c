"""Tests of the server's process: watchers that fail, the caller's address, and REST's TLS handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.model_server.guard.credentials import ServerCertificate
from serving.model_server.protocol.rest_server import listen, make_server
from serving.model_server.server import _start_watcher
from tests.serving.certificates import make_pair

Logged = Callable[[], list[dict[str, Any]]]


def test_a_watcher_that_fails_is_told_and_stops_the_server(logged: Logged) -> None:
    async def watch() -> None:
        raise ValueError("no such thing")

    async def stopped() -> None:
        stop = asyncio.Event()
        task = _start_watcher(watch(), stop)
        await asyncio.wait_for(stop.wait(), 10)
        assert task.done()

    asyncio.run(stopped())
    (line,) = logged()
    assert (line["level"], line["message"], line["reason"]) == (
        "error",
        "a watcher failed",
        "ValueError: no such thing",
    )
    assert line["watcher"].endswith("watch")


def test_a_watcher_that_is_cancelled_stops_nothing(logged: Logged) -> None:
    async def cancelled() -> bool:
        stop = asyncio.Event()
        task = _start_watcher(asyncio.sleep(60), stop)
        task.cancel()
        await asyncio.wait([task])
        return stop.is_set()

    assert not asyncio.run(cancelled())
    assert logged() == []


async def _tell_client(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that answers with the caller's address, as the work queue gets it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


@contextlib.asynccontextmanager
async def _rest(seconds: float = 10.0, certificate: ServerCertificate | None = None) -> AsyncIterator[int]:
    """Runs a REST server of this application; yields its port."""
    server = make_server(_tell_client, certificate, timeout_seconds=seconds, grace_seconds=1.0, max_connections=10)
    listener = listen("127.0.0.1", 0)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task


def test_a_caller_is_the_other_end_of_its_connection_whatever_it_says() -> None:
    async def caller() -> str:
        async with _rest() as port, httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/", headers={"x-forwarded-for": "203.0.113.9"})
            return answer.text

    assert asyncio.run(caller()) == "127.0.0.1"


@pytest.mark.parametrize("begins", [False, True])
def test_a_tls_handshake_that_is_not_done_in_time_ends(tmp_path: Path, begins: bool) -> None:
    """The client sends nothing at all, or begins the handshake; a complete handshake still works."""
    pair = make_pair(tmp_path, "localhost")
    certificate = ServerCertificate(str(pair.certificate), str(pair.key), None)
    certificate.take((pair.certificate.read_bytes(), pair.key.read_bytes()))
    trusting = ssl.create_default_context(cafile=str(pair.certificate))

    async def ends() -> None:
        async with _rest(1.0, certificate) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x16\x03\x01" * begins)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
            async with httpx.AsyncClient(verify=trusting) as client:
                assert (await client.get(f"https://localhost:{port}/")).text == "127.0.0.1"

    asyncio.run(ends())
