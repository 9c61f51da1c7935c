"""What a job's workers call, and the places that start them.

Its classes extend what Beam 2.77.0 has for its own runner's workers, which is private or undocumented.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, Protocol

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.worker.data_plane import BeamFnDataServicer
from apache_beam.utils.sentinel import Sentinel
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from pipeline.errors import LostWorkerError, WorkerError

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

#: The end of a sentence on a lost worker.
AGAIN = "run the same command again to continue"


class Worker(Protocol):
    """A worker that was started."""

    def has_ended(self) -> bool:
        """Returns whether the worker's process is known to have ended."""

    def stop(self) -> None:
        """Ends the worker's process; one that no longer works is killed."""


class Place(Protocol):
    """Where workers are started, one for a job.

    Attributes:
      named_in_errors: Where an error of the worker's was: the pool's address, or the key of the config.
      description: The worker in a sentence, such as "the worker of the pool at beam-a:50000 (`beam.workers`)".
      fix_first: What must be done before the same command is run again, such as "once the pool runs, "; may be empty.
    """

    named_in_errors: str
    description: str
    fix_first: str

    def start(self, worker_id: str, url: str) -> Worker:
        """Starts a worker, which calls an address; raises LostWorkerError if it cannot."""


class Connection(worker_handlers.ControlConnection):  # type: ignore[misc]
    """A worker's stream of instructions.

    Attributes:
      connected: Set once the worker has called.
    """

    def __init__(self, place: Place, report: Callable[[Exception], None]) -> None:
        super().__init__()
        self.connected = threading.Event()
        self._place, self._report = place, report
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
                    self._report(WorkerError(self._place.named_in_errors, response.error))
                yield response
        if not self._closing:
            self._report(
                LostWorkerError(
                    f"{self._place.description} ended before its work was done, or its connection broke; "
                    f"{self._place.fix_first}{AGAIN}"
                )
            )


class _Control(worker_handlers.BeamFnControlServicer):  # type: ignore[misc]
    """Sends instructions to the workers of a job, and to no others."""

    def __init__(self, manager: Any) -> None:
        super().__init__(manager)
        self.connections: dict[str, Connection] = {}

    def get_conn_by_worker_id(self, worker_id: str) -> Connection:
        return self.connections[worker_id]


class _Logs(worker_handlers.BasicLoggingService):  # type: ignore[misc]
    """Writes the workers' log into this process's, until a worker ends."""

    def Logging(self, log_messages: Iterable[Any], context: Any = None) -> Iterator[Any]:  # noqa: N802
        with contextlib.suppress(grpc.RpcError):
            yield from super().Logging(log_messages, context)


class Services:
    """What a job's workers call, at one port; ends when the job does.

    Args:
      manager: The manager of the job's workers.
      host: The address of this machine at which the port is open, as in a URL.
      places: Where the workers are started, in turn.

    Attributes:
      control: Instructions.
      data: Elements.
      url: The address for the workers.
    """

    def __init__(self, manager: Any, host: str, places: Sequence[Place]) -> None:
        self._places = itertools.cycle(places)
        self._failure: futures.Future[None] = futures.Future()
        self.control, self.data = _Control(manager), BeamFnDataServicer()
        self._server = grpc.server(shared_unbounded_instance(), options=_SERVER_OPTIONS)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self.control, self._server)
        beam_fn_api_pb2_grpc.add_BeamFnDataServicer_to_server(self.data, self._server)
        state = worker_handlers.GrpcStateServicer(manager.state_servicer)
        beam_fn_api_pb2_grpc.add_BeamFnStateServicer_to_server(state, self._server)
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(_Logs(), self._server)
        self.url = f"{host}:{self._server.add_insecure_port(f'{host}:0')}"
        self._server.start()

    def connection(self, worker_id: str) -> tuple[Place, Connection]:
        """Returns the place for a new worker, and the worker's connection."""
        place = next(self._places)
        self.control.connections[worker_id] = Connection(place, self._report)
        return place, self.control.connections[worker_id]

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
