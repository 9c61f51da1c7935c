"""The server process: both protocols, the queue and the watchers, from start to graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from serving.model_server.engine import loading, servable
from serving.model_server.engine.loader import LoadSettings
from serving.model_server.engine.manager import Manager
from serving.model_server.engine.tensors import Limits
from serving.model_server.engine.work_queue import WorkQueue
from serving.model_server.flags import Flags
from serving.model_server.folders import check_folders
from serving.model_server.guard import auth, wire
from serving.model_server.guard.credentials import read_credentials
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.logs import finish, log
from serving.model_server.protocol import config_files, json_requests, json_responses, services
from serving.model_server.protocol.calls import Metrics
from serving.model_server.protocol.grpc_server import GrpcPort, channel_options, start_server
from serving.model_server.protocol.grpc_service import GrpcServices
from serving.model_server.protocol.inference import Inference
from serving.model_server.protocol.model_service import ModelStatus
from serving.model_server.protocol.rest import Rest
from serving.model_server.protocol.rest_server import listen, make_server
from transform.errors import UserError

#: How long a thread that computes in Python, such as one that counts a large message's parts, keeps others waiting. A
#: request passes through several threads and waits for its turn at each; with Python's default, up to 5 ms each time.
_SWITCH_SECONDS = 0.0005

#: The least time limit of parsing a large body, whose caller may have gone; a body of 8 MiB takes a second.
_PARSING_SECONDS = 30.0

#: The modules of the functions that the parsing process is called with.
_PARSING_MODULES = (wire.__name__, json_requests.__name__, json_responses.__name__)


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
    process = ParsingProcess(flags.max_waiting, call_seconds, flags.max_message_bytes, _PARSING_MODULES)
    with contextlib.closing(process) as parsing:
        parsing.start()
        await _serve(flags, parsing)


async def _serve(flags: Flags, parsing: ParsingProcess) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = _Server(flags, parsing)
    await server.start()
    tasks = [_start_watcher(watching, stop) for watching in server.watchers()]
    await stop.wait()
    log("info", "stopping; requests at work are answered", seconds=flags.grace_seconds)
    for task in tasks:
        task.cancel()
    await server.stop()
    log("info", "stopped")
    if server.manager.reads.overdue:  # their threads cannot be ended; the libraries' clean-up would crash them
        finish()
        os._exit(0)


class _Server:
    """The models, the queue and both protocols.

    Raises:
      UserError: As `serve` does.
    """

    def __init__(self, flags: Flags, parsing: ParsingProcess) -> None:
        self._flags = flags
        tls_files = [path for path in (flags.tls_certificate, flags.tls_key, flags.tls_client_ca) if path]
        self._credentials = read_credentials(flags.token_file, flags.operator_token_file, tls_files)
        if flags.admin_port is not None and not (flags.operator_token_file or auth.is_loopback(flags.admin_host)):
            raise UserError(
                "the admin port must be bound to loopback, or `--operator-token-file` be given. "
                f"Received: `--admin-host {flags.admin_host}`"
            )
        monitoring = flags.monitoring_config_file
        prometheus_path = config_files.prometheus_path(monitoring) if monitoring else None
        self._listener = listen(flags.host, flags.rest_port)
        self._models = flags.configs()
        # A configuration file is followed by a watcher of its own.
        find_models = (lambda: self._models) if flags.model_config_file else flags.configs
        settings = LoadSettings(flags.retry_seconds, flags.settle_seconds, flags.load_seconds)
        self.manager = Manager(find_models, lambda path: loading.load_version(path, flags.num_threads), settings)
        servable.start(flags.num_threads)
        self._queue = WorkQueue(flags.num_threads, flags.max_waiting, flags.max_batch, flags.max_waiting_elements)
        gauges = [
            ("wdr_waiting_requests", "Requests in the queue.", lambda: self._queue.num_waiting),
            ("wdr_waiting_elements", "Candidates or rows in the queue.", lambda: self._queue.num_waiting_elements),
            ("wdr_running_requests", "Requests at work.", lambda: self._queue.num_running),
            ("wdr_waiting_bodies", "Large bodies to be parsed.", lambda: parsing.num_waiting),
        ]
        metrics = Metrics(self.manager, gauges)
        limits = Limits(flags.max_elements, flags.max_message_bytes)
        inference = Inference(self.manager, self._queue.run, limits)
        status = ModelStatus(self.manager, self.manager.reconfigure)
        self._grpc_services = GrpcServices(inference, status, metrics, flags.timeout_seconds, parsing)
        rest = Rest(
            inference,
            status,
            metrics,
            parsing,
            self._credentials.access,
            flags.max_message_bytes,
            flags.timeout_seconds,
            prometheus_path,
        )
        certificate = self._credentials.certificate
        self._rest_server = make_server(
            rest.app, certificate, flags.timeout_seconds, flags.grace_seconds, flags.max_connections
        )

    async def start(self) -> None:
        """Starts both protocols; no model is loaded yet.

        Raises:
          UserError: If it cannot listen, or the models' folders cannot be meant as such.
        """
        flags = self._flags
        for config in await check_folders(flags.models, self._models, self.manager.reads):
            log("warning", "the model has no version yet; waiting for one", model=config.name, folder=config.folder)
        ports = [GrpcPort("gRPC", flags.host, flags.grpc_port, tuple(services.METHODS))]
        if flags.admin_port is not None:
            ports.append(GrpcPort("admin", flags.admin_host, flags.admin_port, ("ModelService",)))
        options = channel_options(
            flags.timeout_seconds, flags.max_message_bytes, flags.max_connections, flags.connection_age_seconds
        )
        self._grpc_servers = [
            await start_server(port, self._grpc_services, self._credentials, options) for port in ports
        ]
        self._rest_task = asyncio.create_task(self._rest_server.serve([self._listener]))
        self.manager.on_change = self._tell_health
        await self._tell_health()
        grpc_port, *admin_port = (server.number for server in self._grpc_servers)
        admin = {"admin_host": flags.admin_host, "admin_port": admin_port[0]} if admin_port else {}
        rest_port = self._listener.getsockname()[1]
        listening: dict[str, object] = {"host": flags.host, "grpc_port": grpc_port, "rest_port": rest_port, **admin}
        log("info", "listening", **listening, models=list(self.manager.configs))

    async def _tell_health(self) -> None:
        for server in self._grpc_servers:
            await server.tell_health(self.manager.ready)

    def watchers(self) -> list[Coroutine[Any, Any, None]]:
        """What follows the models' folders and the files of the options, until it is cancelled."""
        flags = self._flags
        found = [self.manager.watch(flags.poll_seconds), self._credentials.watch(flags.poll_seconds)]
        if flags.model_config_file and flags.model_config_poll_seconds:
            path, seconds = flags.model_config_file, flags.model_config_poll_seconds
            found.append(config_files.follow(path, seconds, self._models, self.manager.reconfigure))
        return found

    async def stop(self) -> None:
        """Stops both protocols, once requests are answered or the grace is over; then unloads the models."""
        for server in self._grpc_servers:
            await server.announce_stop()
        self._rest_server.should_exit = True
        last_calls = self._grpc_services.last_calls
        await last_calls.take()
        end = time.monotonic() + self._flags.grace_seconds
        stops = [asyncio.create_task(server.stop(self._flags.grace_seconds)) for server in self._grpc_servers]
        await asyncio.sleep(0)  # each `stop` now sends GOAWAY: clients send their calls elsewhere
        last_calls.release()
        await asyncio.gather(*stops, self._rest_task)
        await self.manager.close(max(0.0, end - time.monotonic()))
        self._queue.stop()


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
