"""Checks of what the model server relies on in uvicorn; each raises an error if it is gone."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl
from uvicorn.server import ServerState

from serving.model_server.guard import http_connection


class _Transport(asyncio.Transport):
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


#: What uvicorn calls on its protocol, and our protocol overrides.
_OVERRIDDEN = {
    "connection_made": ("transport",),
    "data_received": ("data",),
    "connection_lost": ("exc",),
    "on_response_complete": (),
    "timeout_keep_alive_handler": (),
    "send_400_response": ("msg",),
}


def check_h11_protocol() -> None:
    """A request's states on a connection, by the attributes that the bounded protocol reads."""
    for name, parameters in _OVERRIDDEN.items():
        assert tuple(inspect.signature(getattr(h11_impl.H11Protocol, name)).parameters)[1:] == parameters, name
    asyncio.run(_one_request())


async def _one_request() -> None:
    config = uvicorn.Config(_app, ws="none", lifespan="off", log_config=None)
    config.load()
    state, transport = ServerState(), _Transport()
    made = http_connection.bounded_protocol(5.0)(config, state, app_state={})
    assert isinstance(made, h11_impl.H11Protocol)
    assert isinstance(made.conn, http_connection._Connection)
    protocol: Any = made  # uvicorn declares neither that `cycle` may be None nor all transports that it takes
    protocol.connection_made(transport)
    assert (protocol.cycle, protocol.connections, protocol.transport) == (None, {protocol}, transport)
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na")
    cycle = protocol.cycle
    assert (cycle.more_body, cycle.response_complete, protocol.flow.write_paused) == (True, False, False)
    assert not cycle.disconnected
    protocol.data_received(b"b")
    assert not cycle.more_body
    await asyncio.wait_for(asyncio.gather(*state.tasks), 10)
    assert cycle.response_complete
    assert transport.written.endswith(b"ok")
    protocol.data_received(b"no HTTP\r\n\r\n")
    assert b"400 Bad Request" in transport.written  # by our `send_400_response`
    assert b'"error"' in transport.written
    protocol.connection_lost(None)
    assert protocol.connections == set()


def check_server() -> None:
    """The server's steps that the REST server overrides, and the attributes that these steps set."""
    server = uvicorn.Server(uvicorn.Config(_app, ws="none", lifespan="off", log_config=None))
    assert server.started is False
    assert server.server_state.connections == set()
    assert list(inspect.signature(uvicorn.Server.startup).parameters) == ["self", "sockets"]
    inspect.signature(uvicorn.Server.capture_signals).bind("self")
    assert "with self.capture_signals():" in inspect.getsource(uvicorn.Server.serve)
    serving = inspect.getsource(uvicorn.Server._serve)
    assert "await self.startup(sockets=sockets)" in serving
    assert "self.started" in serving
    assert list(inspect.signature(uvicorn.Server.shutdown).parameters) == ["self", "sockets"]
    assert "for server in self.servers:" in inspect.getsource(uvicorn.Server.shutdown)
    assert "await self.shutdown(sockets=sockets)" in serving
    assert isinstance(server.server_state.default_headers, list)
    server.config.load()
    assert inspect.isclass(server.config.http_protocol_class)
    parameters = inspect.signature(server.config.http_protocol_class).parameters
    assert list(parameters)[:3] == ["config", "server_state", "app_state"]
