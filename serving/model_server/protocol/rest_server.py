"""The HTTP server of REST: listens, and bounds what a connection can take."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from serving.model_server.guard.credentials import ServerCertificate
from serving.model_server.guard.http_connection import bounded_protocol
from transform.errors import UserError

#: How long requests may be on their way, when the server stops, on connections that were kept.
_LAST_REQUESTS_SECONDS = 0.1


class RestServer(uvicorn.Server):
    """The REST server. It uses methods and attributes of uvicorn's server that uvicorn 0.54.0 does not document.

    Args:
      config: Its configuration.
      handshake_seconds: The time limit of a TLS handshake, after which the connection is closed.
    """

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no signal handlers; the process has its own."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops as uvicorn does, but before it closes connections that are kept, answers what is on its way on them."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))  # also of the requests at work
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens as uvicorn does, but limits a TLS handshake's time: uvicorn has no option for it; asyncio takes 60 s.

        A connection counts towards `max_connections` only after its handshake; until then, the time is its only limit.
        """

        def protocol() -> asyncio.Protocol:
            kind: Any = self.config.http_protocol_class
            made: asyncio.Protocol = kind(self.config, self.server_state, app_state={})
            return made

        context = self.config.ssl
        self.servers = [
            await asyncio.get_running_loop().create_server(
                protocol,
                sock=listener,
                ssl=context,
                backlog=self.config.backlog,
                ssl_handshake_timeout=self._handshake_seconds if context else None,
            )
            for listener in sockets or []
        ]
        self.started = True


def listen(host: str, port: int) -> socket.socket:
    """Opens REST's listening socket, whose connections send data at once (TCP_NODELAY); port 0 is any free one.

    asyncio sets TCP_NODELAY only if a socket's protocol number is TCP's, and `create_server` makes it 0. A response's
    head and body are two packets; without it, the second would wait 40 ms until the client acknowledges the first.

    Raises:
      UserError: If it cannot listen there.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(f"the REST port must be free. Received: {host}:{port}: {error.strerror}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def make_server(
    app: ASGIApp,
    certificate: ServerCertificate | None,
    timeout_seconds: float,
    grace_seconds: float,
    max_connections: int,
) -> RestServer:
    """Makes a server that does not listen yet.

    Args:
      app: The application that answers.
      certificate: The TLS certificate; None without TLS.
      timeout_seconds: The time for a TLS handshake, and for a request's head to arrive.
      grace_seconds: The time for requests to end when the server stops.
      max_connections: The most connections.
    """
    config = uvicorn.Config(
        app,
        http=bounded_protocol(timeout_seconds, max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else a local caller could choose its share of the queue by X-Forwarded-For
        timeout_graceful_shutdown=int(grace_seconds) or 1,
        ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
    )
    return RestServer(config, timeout_seconds)
