"""The gRPC servers: each has a port, some of TF Serving's services, health and reflection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2

from serving.model_server.guard import auth
from serving.model_server.guard.credentials import Credentials
from serving.model_server.protocol.grpc_service import GrpcServices
from serving.model_server.protocol.services import enable_reflection, full_names
from transform.errors import UserError

#: The most calls at once on one HTTP/2 connection; the client queues further ones. A client that opens and resets calls
#: as fast as it can then takes no time from other connections.
MAX_STREAMS = 100

#: A gRPC connection without calls for this long is closed, which frees its place; the client reconnects.
_IDLE_MILLISECONDS = 120_000

#: A client may ping this often while a call waits for its answer. gRPC's default of 5 minutes ends a call of 3 minutes,
#: whose client asks each minute whether the server is still there.
_PING_MILLISECONDS = 500


@dataclasses.dataclass(frozen=True)
class GrpcPort:
    """A gRPC port: its name in messages, its address, and its services."""

    kind: str
    host: str
    number: int
    services: tuple[str, ...]

    @property
    def address(self) -> str:
        """The address to listen on."""
        return f"[{self.host}]:{self.number}" if ":" in self.host else f"{self.host}:{self.number}"


def channel_options(
    timeout_seconds: float, max_message_bytes: int, max_connections: int, connection_age_seconds: float | None
) -> list[tuple[str, int]]:
    """Returns the channel arguments of a gRPC server: what it allows its clients.

    Args:
      timeout_seconds: The time for a connection's handshake, and for calls to end on a connection that is too old.
      max_message_bytes: The most bytes of a request.
      max_connections: The most connections.
      connection_age_seconds: The age at which a connection is closed; None for any age.
    """
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_MILLISECONDS),
        ("grpc.server_handshake_timeout_ms", max(1, int(1000 * timeout_seconds))),
        ("grpc.so_reuseport", 0),  # a port that another process has is an error
    ]
    if connection_age_seconds is not None:
        options += [
            ("grpc.max_connection_age_ms", round(connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", round(timeout_seconds * 1000)),
        ]
    return options


class GrpcServer:
    """A server that listens on the port `number`."""

    def __init__(self, server: grpc.aio.Server, number: int, alive: health.aio.HealthServicer, names: Sequence[str]):
        self.number = number
        self._server, self._alive, self._names = server, alive, names

    async def tell_health(self, ready: bool) -> None:
        """Sets what the health service answers, for the server and for each of its services."""
        response = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self._alive.set(name, response.SERVING if ready else response.NOT_SERVING)

    async def announce_stop(self) -> None:
        """Lets the health service answer that the server does not serve any more."""
        await self._alive.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Stops, once running calls have ended or the time is up."""
        await self._server.stop(grace_seconds)


async def start_server(
    port: GrpcPort, services: GrpcServices, credentials: Credentials, options: Sequence[tuple[str, int]]
) -> GrpcServer:
    """Starts a server.

    Args:
      port: Its port.
      services: Answer its requests.
      credentials: The tokens that its callers need, and its certificate.
      options: Its channel arguments.

    Raises:
      UserError: If it cannot listen.
    """
    access, trusts_all = credentials.access, auth.is_loopback(port.host)
    asks_nobody = trusts_all and not access.asks_callers  # an interceptor takes 0.04 ms of each call
    server = grpc.aio.server(
        interceptors=[] if asks_nobody else [auth.AccessInterceptor(access, trusts_all, services.count_refusal)],
        options=options,
    )
    services.add_to(server, port.services)
    alive = health.aio.HealthServicer()
    services.add_health_to(server, alive)
    enable_reflection(server, port.services)
    try:
        if credentials.certificate:
            number = server.add_secure_port(port.address, credentials.certificate.grpc_credentials())
        else:
            number = server.add_insecure_port(port.address)
    except RuntimeError as error:
        await server.stop(None)
        raise UserError(f"the {port.kind} port must be free. Received: {port.address}: {error}") from error
    await server.start()
    return GrpcServer(server, number, alive, full_names(port.services))
