"""Beam's own runner over pools of workers on named hosts, one worker to a pool: the config's `beam.workers`.

Beam's runner starts all of its external workers at one address, calls them to the name that this host gives itself,
listens on all addresses, and waits for a lost worker without end. Here the workers of a job are those of its pools in
turn; all call one port, which is open only on the address by which this host reaches the pools; and the first error of
any worker ends the job. Beam has no public way to this: what is overridden is private or undocumented, as of
Beam 2.77.0.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import itertools
import socket
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner, worker_handlers
from apache_beam.runners.worker.data_plane import BeamFnDataServicer
from apache_beam.utils.sentinel import Sentinel
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from pipeline.errors import LostWorkerError, WorkerError, first_line

_ENVIRONMENT = "wide-deep-ranker:environment:worker_pools:v1"

#: Time for a pool to answer a call, for a worker to import Beam (40 seconds on a machine with too much work) and
#: connect, and for a pool to end its worker, which it kills after 10 seconds.
_CALL_SECONDS, _CONNECT_SECONDS, _STOP_SECONDS = 10, 120, 15

#: A lost worker's data may break off before its instructions do, which say whose they were.
_NOTICE_SECONDS = 5

#: A worker whose host or process no longer answers is lost after 30 seconds; the first four are Beam's own options.
_SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
)

_AGAIN = "run the same command again to continue"


class WorkerPoolsRunner(FnApiRunner):  # type: ignore[misc]
    """Beam's runner in this process, with a worker of each pool in `--environment_config=HOST:PORT,HOST:PORT`.

    Raises:
      LostWorkerError: If a pool cannot be reached, or a worker does not connect, or ends before its work is done.
      WorkerError: If code that a worker runs raises an error.
    """

    def run_via_runner_api(self, pipeline_proto: Any, options: PipelineOptions) -> Any:
        self._addresses: list[str] = options.view_as(PortableOptions).environment_config.split(",")
        self._num_workers = len(self._addresses)
        for environment in pipeline_proto.components.environments.values():
            environment.urn = _ENVIRONMENT
        return super().run_via_runner_api(pipeline_proto, options)

    def run_stages(self, stage_context: Any, stages: Any) -> Any:
        """Runs a job: Beam's own method, which takes another manager of workers by the name of Beam's."""
        names = {**vars(fn_runner), "WorkerHandlerManager": functools.partial(_Manager, self._addresses)}
        return types.FunctionType(FnApiRunner.run_stages.__code__, names)(self, stage_context, stages)

    def _execute_bundle(self, runner_execution_context: Any, bundle_context_manager: Any, bundle_input: Any) -> Any:
        execute = functools.partial(
            super()._execute_bundle, runner_execution_context, bundle_context_manager, bundle_input
        )
        return runner_execution_context.worker_handler_manager.services.run(execute)


class _Manager(worker_handlers.WorkerHandlerManager):  # type: ignore[misc]
    """The workers of a job.

    Attributes:
      services: What they call.
    """

    def __init__(self, addresses: Sequence[str], environments: Any, provision_info: Any) -> None:
        super().__init__(environments, provision_info)
        self.services = self._grpc_server = _Services(self, addresses)

    def get_worker_handlers(self, environment_id: str | None, num_workers: int) -> list[_PoolWorker]:
        workers: list[_PoolWorker] = super().get_worker_handlers(environment_id, num_workers)
        for worker in workers:
            worker.wait_until_connected()
        return workers


class _Connection(worker_handlers.ControlConnection):  # type: ignore[misc]
    """A worker's stream of instructions.

    Attributes:
      connected: Set once the worker has called.
    """

    def __init__(self, address: str, report: Callable[[Exception], None]) -> None:
        super().__init__()
        self.connected = threading.Event()
        self._address, self._report = address, report
        self._closing = False

    def set_input(self, input: Iterable[Any]) -> None:
        super().set_input(self._watched(input))
        self.connected.set()

    def close(self) -> None:
        """Ends the stream; does not wait for a worker that may no longer answer."""
        self._closing = True
        self.push(Sentinel.sentinel)

    def _watched(self, responses: Iterable[Any]) -> Iterator[Any]:
        """Yields a worker's responses; reports an error in one, and an end of the stream that is not the job's."""
        with contextlib.suppress(grpc.RpcError):
            for response in responses:
                if response.error:
                    self._report(WorkerError(self._address, response.error))
                yield response
        if not self._closing:
            self._report(
                LostWorkerError(
                    f"the worker of the pool at {self._address} (`beam.workers`) ended before its work was done, or "
                    f"its connection broke; once the pool runs, {_AGAIN}"
                )
            )


class _Control(worker_handlers.BeamFnControlServicer):  # type: ignore[misc]
    """Sends instructions to the workers of a job, and to no others."""

    def __init__(self, manager: Any) -> None:
        super().__init__(manager)
        self.connections: dict[str, _Connection] = {}

    def get_conn_by_worker_id(self, worker_id: str) -> _Connection:
        return self.connections[worker_id]


class _Services:
    """What a job's workers call, at one port; ends when the job does.

    Attributes:
      control: Instructions.
      data: Elements.
      url: The address for the workers.
    """

    def __init__(self, manager: Any, addresses: Sequence[str]) -> None:
        self._addresses = itertools.cycle(addresses)
        self._failure: futures.Future[None] = futures.Future()
        self.control, self.data = _Control(manager), BeamFnDataServicer()
        self._server = grpc.server(shared_unbounded_instance(), options=_SERVER_OPTIONS)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self.control, self._server)
        beam_fn_api_pb2_grpc.add_BeamFnDataServicer_to_server(self.data, self._server)
        state = worker_handlers.GrpcStateServicer(manager.state_servicer)
        beam_fn_api_pb2_grpc.add_BeamFnStateServicer_to_server(state, self._server)
        host = own_host(addresses)
        self.url = f"{host}:{self._server.add_insecure_port(f'{host}:0')}"
        self._server.start()

    def connection(self, worker_id: str) -> tuple[str, _Connection]:
        """Returns the address of the pool for a new worker, and the worker's connection."""
        address = next(self._addresses)
        self.control.connections[worker_id] = _Connection(address, self._report)
        return address, self.control.connections[worker_id]

    def run(self, work: Callable[[], Any]) -> Any:
        """Returns the result of work with the workers; raises the error of the first that fails before."""
        running = shared_unbounded_instance().submit(work)
        futures.wait((running, self._failure), return_when=futures.FIRST_COMPLETED)
        if running.done() and running.exception() is not None:
            futures.wait((self._failure,), timeout=_NOTICE_SECONDS)
        elif running.done():
            return running.result()
        if (failure := self._failure.exception() if self._failure.done() else None) is not None:
            raise failure
        return running.result()

    def close(self) -> None:
        """Waits for the workers' calls to end, and then ends them."""
        self.control.done()
        self._server.stop(grace=_NOTICE_SECONDS).wait()

    def _report(self, error: Exception) -> None:
        """Keeps the first error."""
        with contextlib.suppress(futures.InvalidStateError):
            self._failure.set_exception(error)


@worker_handlers.WorkerHandler.register_environment(_ENVIRONMENT, None)
class _PoolWorker(worker_handlers.WorkerHandler):  # type: ignore[misc]
    """The worker of one pool. Its id is unique: jobs of several processes may share the pool."""

    def __init__(self, payload: object, state: Any, provision_info: Any, services: _Services) -> None:
        super().__init__(services.control, services.data, state, provision_info)
        self.worker_id = uuid.uuid4().hex
        self._url = services.url
        self._address, self.control_conn = services.connection(self.worker_id)
        self.data_conn = services.data.get_conn_by_worker_id(self.worker_id)
        self._channel = grpc.insecure_channel(self._address)
        self._pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(self._channel)
        self._started: float | None = None

    def start_worker(self) -> None:
        request = beam_fn_api_pb2.StartWorkerRequest(
            worker_id=self.worker_id, control_endpoint=self.control_api_service_descriptor()
        )
        try:
            response = self._pool.StartWorker(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise _no_pool(self._address, error) from error
        if response.error:
            reason = response.error.strip().splitlines()[-1]
            raise LostWorkerError(
                f"the pool of workers at {self._address} (`beam.workers`) could not start a worker; once it can, "
                f"{_AGAIN} ({reason})"
            )
        self._started = time.monotonic()

    def wait_until_connected(self) -> None:
        """Waits for the worker's call; raises `LostWorkerError` if it does not come in time."""
        assert self._started is not None
        left = self._started + _CONNECT_SECONDS - time.monotonic()
        if not self.control_conn.connected.wait(max(0, left)):
            raise LostWorkerError(
                f"the worker of the pool at {self._address} (`beam.workers`) did not connect to {self._url} within "
                f"{_CONNECT_SECONDS} seconds: it ended, as the pool's log then says, or cannot reach this host; once "
                f"it can, {_AGAIN}"
            )

    def close(self) -> None:
        self.control_conn.close()
        self.data_conn.close()
        super().close()

    def stop_worker(self) -> None:
        """Ends the worker's process, which the pool would keep in its table; one that no longer works is killed."""
        if self._started is not None:
            request = beam_fn_api_pb2.StopWorkerRequest(worker_id=self.worker_id)
            with contextlib.suppress(grpc.RpcError):
                self._pool.StopWorker(request, timeout=_STOP_SECONDS)
        self._channel.close()

    def control_api_service_descriptor(self) -> Any:
        return endpoints_pb2.ApiServiceDescriptor(url=self._url)

    data_api_service_descriptor = state_api_service_descriptor = control_api_service_descriptor


def own_host(addresses: Sequence[str]) -> str:
    """Returns this host's address, as in a URL, on the way to pools: to the first that is not on loopback, if any is.

    Raises:
      LostWorkerError: If a pool's host has no address, or there is no way to it.
    """
    found = [_towards(address) for address in addresses]
    own = next((each for each in found if not each.is_loopback), found[0])
    return f"[{own}]" if own.version == 6 else str(own)


def _towards(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns this host's address on the way to a pool. Nothing is sent: a UDP socket's connection is its route."""
    host, _, port = address.rpartition(":")
    reason: OSError | None = None
    try:
        targets = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise _no_pool(address, error) from error
    for family, kind, _, _, target in targets:
        with socket.socket(family, kind) as probe:
            try:
                probe.connect(target)
                return ipaddress.ip_address(probe.getsockname()[0])
            except OSError as error:
                reason = error
    assert reason is not None
    raise _no_pool(address, reason) from reason


def _no_pool(address: str, error: Exception) -> LostWorkerError:
    return LostWorkerError(
        f"the pool of workers at {address} (`beam.workers`) cannot be reached; once it runs, {_AGAIN} "
        f"({first_line(error)})"
    )
