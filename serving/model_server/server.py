"""The server process: both protocols, the queue and the watchers, from start to graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import resource
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2

from serving.model_server import config_files
from serving.model_server.engine import servable
from serving.model_server.engine.manager import Manager
from serving.model_server.engine.work_queue import WorkQueue
from serving.model_server.flags import Flags
from serving.model_server.guard import auth
from serving.model_server.guard.credentials import Credentials, read_credentials
from serving.model_server.guard.http_connection import bounded_protocol
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.guard.tls import ServerCertificate
from serving.model_server.logs import log, write_left_out
from serving.model_server.protocol import reflection, services
from serving.model_server.protocol.grpc_service import GrpcServices
from serving.model_server.protocol.inference import Inference
from serving.model_server.protocol.metrics import Metrics
from serving.model_server.protocol.model_service import ModelStatus
from serving.model_server.protocol.rest import Rest
from transform.errors import UserError

#: How long a thread that computes in Python, such as one that counts a large message's parts, keeps others waiting. A
#: request passes through several threads and waits for its turn at each; with Python's default, up to 5 ms each time.
_SWITCH_SECONDS = 0.0005

#: The most calls at once on one HTTP/2 connection; the client queues further ones. A client that opens and resets calls
#: as fast as it can then takes no time from other connections.
MAX_STREAMS = 100

#: The least time limit of parsing a large body, whose caller may have gone; a body of 8 MiB takes a second.
_PARSING_SECONDS = 30.0

#: A gRPC connection without calls for this long is closed, which frees its place; the client reconnects.
_IDLE_MILLISECONDS = 120_000


@dataclasses.dataclass(frozen=True)
class _Port:
    """A gRPC port: its name in messages, its address, and its services."""

    kind: str
    host: str
    number: int
    services: tuple[str, ...]


async def serve(flags: Flags) -> None:
    """Serves until the process receives SIGTERM or SIGINT.

    Raises:
      UserError: If it cannot listen, or a file that the options name cannot be used.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Allow as many open files as the system does, since each port may have `max_connections`.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    call_seconds = max(_PARSING_SECONDS, flags.timeout_seconds)
    with contextlib.closing(ParsingProcess(flags.max_waiting, call_seconds)) as parsing:
        parsing.start()
        await _serve(flags, parsing)


async def _serve(flags: Flags, parsing: ParsingProcess) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    credentials = read_credentials(flags)
    prometheus_path = (
        config_files.prometheus_path(flags.monitoring_config_file) if flags.monitoring_config_file else None
    )
    listener = listen(flags.host, flags.rest_port)
    models = flags.configs()
    find_models = (lambda: models) if flags.fixed else flags.configs
    manager = Manager(find_models, flags.num_threads, flags.retry_seconds, flags.settle_seconds, flags.load_seconds)
    servable.start(flags.num_threads)
    queue = WorkQueue(flags.num_threads, flags.max_waiting, flags.max_batch, flags.max_waiting_elements)
    metrics = Metrics(manager.all_versions, queue, parsing)
    inference = Inference(manager, queue, flags.max_elements, flags.max_message_bytes)
    status = ModelStatus(manager)
    ports = [_Port("gRPC", flags.host, flags.grpc_port, tuple(services.METHODS))]
    if flags.admin_port is not None:
        ports.append(_Port("admin", flags.admin_host, flags.admin_port, ("ModelService",)))
    grpc_services = GrpcServices(inference, status, metrics, flags.timeout_seconds, parsing)
    grpc_servers = [await _start_grpc(flags, grpc_services, credentials, port) for port in ports]
    rest = Rest(
        inference,
        status,
        metrics,
        parsing,
        credentials.access,
        flags.max_message_bytes,
        flags.timeout_seconds,
        prometheus_path,
    )
    rest_server = _rest_server(flags, rest, credentials.certificate)
    rest_task = asyncio.create_task(rest_server.serve([listener]))

    async def tell_health() -> None:
        response = health_pb2.HealthCheckResponse
        for port, (_, _, alive) in zip(ports, grpc_servers, strict=True):
            for name in ("", *services.full_names(port.services)):
                await alive.set(name, response.SERVING if manager.ready else response.NOT_SERVING)

    manager.on_change = tell_health
    await tell_health()
    rest_port = listener.getsockname()[1]
    grpc_port, *admin_port = (number for _, number, _ in grpc_servers)
    admin = {"admin_host": flags.admin_host, "admin_port": admin_port[0]} if admin_port else {}
    listening: dict[str, object] = {"host": flags.host, "grpc_port": grpc_port, "rest_port": rest_port, **admin}
    log("info", "listening", **listening, models=list(manager.configs))
    watchers = [manager.watch(flags.poll_seconds), credentials.watch(flags.poll_seconds)]
    if flags.model_config_file and flags.model_config_poll_seconds:
        watchers.append(
            config_files.follow(flags.model_config_file, flags.model_config_poll_seconds, models, manager.reconfigure)
        )
    tasks = [_start_watcher(watching, stop) for watching in watchers]
    await stop.wait()
    log("info", "stopping; requests at work are answered", seconds=flags.grace_seconds)
    for task in tasks:
        task.cancel()
    for _, _, alive in grpc_servers:
        await alive.enter_graceful_shutdown()
    rest_server.should_exit = True
    await asyncio.gather(*(server.stop(flags.grace_seconds) for server, _, _ in grpc_servers), rest_task)
    await manager.close(flags.grace_seconds)
    queue.stop()
    write_left_out()
    log("info", "stopped")
    if manager.overdue:  # the threads that read these cannot be ended, and the libraries' clean-up would crash them
        os._exit(0)


def _start_watcher(watching: Coroutine[Any, Any, None], stop: asyncio.Event) -> asyncio.Task[None]:
    """Starts a task that runs until it is cancelled. If it fails, the server stops rather than go on without it."""

    def log_end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            name = getattr(watching, "__qualname__", "")
            log("error", "a watcher failed", watcher=name, reason=f"{type(error).__name__}: {error}")
            stop.set()

    task = asyncio.create_task(watching)
    task.add_done_callback(log_end)
    return task


async def _start_grpc(
    flags: Flags, grpc_services: GrpcServices, credentials: Credentials, port: _Port
) -> tuple[grpc.aio.Server, int, health.aio.HealthServicer]:
    trusts_all = auth.is_loopback(port.host)
    asks_nobody = trusts_all and not flags.token_file  # an interceptor takes 0.04 ms of each call
    server = grpc.aio.server(
        interceptors=[]
        if asks_nobody
        else [auth.AccessInterceptor(credentials.access, trusts_all, grpc_services.count_refusal)],
        options=[
            ("grpc.max_receive_message_length", flags.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.max_allowed_incoming_connections", flags.max_connections),
            ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
            ("grpc.server_handshake_timeout_ms", max(1, int(1000 * flags.timeout_seconds))),
            ("grpc.so_reuseport", 0),  # a port that another process has is an error
            *_connection_age(flags),
        ],
    )
    grpc_services.add_to(server, port.services)
    alive = health.aio.HealthServicer()
    grpc_services.add_health_to(server, alive)
    reflection.enable(server, port.services)
    address = f"[{port.host}]:{port.number}" if ":" in port.host else f"{port.host}:{port.number}"
    try:
        if credentials.certificate:
            number = server.add_secure_port(address, credentials.certificate.grpc_credentials())
        else:
            number = server.add_insecure_port(address)
    except RuntimeError as error:
        await server.stop(None)
        raise UserError(f"the {port.kind} port must be free. Received: {address}: {error}") from error
    await server.start()
    return server, number, alive


def _connection_age(flags: Flags) -> list[tuple[str, int]]:
    """The channel arguments that close connections of some age; calls in flight get `timeout_seconds` to finish."""
    if flags.connection_age_seconds is None:
        return []
    return [
        ("grpc.max_connection_age_ms", round(flags.connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", round(flags.timeout_seconds * 1000)),
    ]


class _RestServer(uvicorn.Server):
    """The REST server. It overrides methods of uvicorn's server that uvicorn 0.54.0 does not document.

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
    """Opens REST's listening socket, whose connections send data at once (TCP_NODELAY).

    asyncio sets TCP_NODELAY only if a socket's protocol number is TCP's, and `create_server` makes it 0. A response's
    head and body are two packets; without it, the second would wait 40 ms until the client acknowledges the first.

    Args:
      host: A host name or an address.
      port: The port; 0 for any free one.

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


def _rest_server(flags: Flags, rest: Rest, certificate: ServerCertificate | None) -> _RestServer:
    return _RestServer(
        uvicorn.Config(
            rest.app,
            http=bounded_protocol(flags.timeout_seconds, flags.max_connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # else a local caller could choose its share of the queue by X-Forwarded-For
            timeout_graceful_shutdown=int(flags.grace_seconds) or 1,
            ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        ),
        flags.timeout_seconds,
    )
