"""A pool of Beam's workers on this machine: `python -m pipeline.beam_workers.pool --port 50000`.

It starts a worker whenever a runner asks for one, as the pool of Beam 2.77.0 does, and forks it
(`pipeline.beam_workers.forked`). It has no password and runs what it is sent: only its own machine reaches it, unless
`--host` says otherwise.
"""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Sequence
from types import FrameType

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from components.fingerprint import fingerprint_of_all_code
from pipeline.beam_workers import forked
from pipeline.beam_workers.pools import CODE
from pipeline.errors import first_line

#: Why a pool starts no worker for a node.
_OTHER_CODE = "the pool has imported other code than the node runs: restart the pool after each update"


class Pool(BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Beam's pool, whose workers are forked.

    Args:
      code: The fingerprint of the code that workers have imported.
    """

    def __init__(self, code: str) -> None:
        super().__init__(use_process=True)
        self._code = code

    def StartWorker(  # noqa: N802
        self, start_worker_request: beam_fn_api_pb2.StartWorkerRequest, unused_context: object
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        request = start_worker_request
        # Other runners name no code: their workers must be restarted by hand after an update.
        if request.params.get(CODE, self._code) != self._code:
            return beam_fn_api_pb2.StartWorkerResponse(error=_OTHER_CODE)
        for worker_id, worker in list(self._worker_processes.items()):
            if worker.has_ended():  # its node was killed, so that nobody asked for its end
                self._worker_processes.pop(worker_id, None)
        try:
            urls = request.control_endpoint.url, request.logging_endpoint.url
            worker = forked.ForkedWorker(request.worker_id, *urls)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=first_line(error))
        self._worker_processes[request.worker_id] = worker
        return beam_fn_api_pb2.StartWorkerResponse()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a pool until SIGTERM or Ctrl-C; its workers end with it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="the address at which it listens (127.0.0.1)")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    code = fingerprint_of_all_code()
    forked.prepare()
    options = (("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0))
    server = grpc.server(shared_unbounded_instance(), options=options)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(code), server)
    host = f"[{args.host}]" if ":" in args.host else args.host  # an address of IPv6
    server.add_insecure_port(f"{host}:{args.port}")
    server.start()
    logging.info("a pool of workers at %s:%d", args.host, args.port)

    def end(number: int, frame: FrameType | None) -> None:
        server.stop(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
