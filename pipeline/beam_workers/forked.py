"""Workers on this machine, forked from a process that has imported what they need and does nothing else.

A new Python imports TensorFlow, Beam and the components for 11 seconds of processor time; a fork takes milliseconds,
and shares their memory. The process that forks has no thread that runs Python (`multiprocessing`'s start method
`forkserver`); it ends with the process that asked for workers, and so do the workers, however that one ends. A worker
runs the main module of that process again, as `multiprocessing` has it: a program of its own that runs a pipeline with
`beam.num_workers` does so below `if __name__ == "__main__":`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import subprocess
import tempfile
import threading
from multiprocessing import connection, util
from multiprocessing.context import ForkServerContext, ForkServerProcess

from pipeline.beam_workers.services import AGAIN
from pipeline.errors import LostWorkerError, first_line

#: What workers import: the code of all nodes that read rows; and what removes the folder of the socket.
IMPORTED = (
    "pipeline.beam_workers.socket_folder",
    "apache_beam.runners.worker.sdk_worker",
    "components.evaluation.executor",
    "components.ingestion.component",
    "components.late_labels.component",
    "components.statistics.computing",
    "components.transform_executor.workers",
)

#: How long a worker without work may send the last of its log; after it, how long one may take to end.
_LAST_LOG_SECONDS, _END_SECONDS = 1, 10

#: Where the socket of the process that forks is: not with the temporary files of a run, which go before the process
#: does; and a socket's path has at most 107 bytes.
_SOCKETS = "/tmp"  # noqa: S108 - its folder there is the user's alone


class ForkedWorker:
    """A worker's process, with the methods of `subprocess.Popen` by which Beam's pool ends one.

    Args:
      worker_id: The worker's id.
      url: The address that it calls.
      logging_url: The address to which it sends its log; empty for standard error.

    Raises:
      OSError: If it cannot be forked.
    """

    def __init__(self, worker_id: str, url: str, logging_url: str) -> None:
        arguments = worker_id, url, logging_url, tempfile.gettempdir()
        # A daemon: this process's end does not wait for it.
        self._process: ForkServerProcess = _context().Process(target=_work, args=arguments, daemon=True)
        try:
            self._process.start()
        except EOFError as error:
            raise OSError("the process that forks ended, as where memory or processes run out") from error
        self.kill = self._process.kill

    def terminate(self) -> None:
        """Ends the process once its log is sent, or at once if it is at work."""
        self._process.join(_LAST_LOG_SECONDS)
        self._process.terminate()

    def wait(self, timeout: float | None = None) -> None:
        """Waits for the end; raises subprocess.TimeoutExpired if it does not come in so many seconds."""
        self._process.join(timeout)
        if self._process.is_alive():
            raise subprocess.TimeoutExpired("a worker", timeout or 0)

    def has_ended(self) -> bool:
        """Returns whether the process has ended."""
        return not self._process.is_alive()

    def stop(self) -> None:
        """Ends the process."""
        self.terminate()
        try:
            self.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


class ForkedPlace:
    """Workers of this process (`pipeline.beam_workers.services.Place`)."""

    named_in_errors = "`beam.num_workers`"
    description = "a worker (`beam.num_workers`)"
    fix_first = ""

    def start(self, worker_id: str, url: str) -> ForkedWorker:
        """Forks a worker."""
        try:
            return ForkedWorker(worker_id, url, url)
        except OSError as error:
            raise LostWorkerError(
                f"{self.description} could not be started; once it can, {AGAIN} ({first_line(error)})"
            ) from error


def prepare() -> None:
    """Waits until the process that forks has imported what workers need: from then on a worker starts at once."""
    process = _context().Process(target=_nothing)
    process.start()
    process.join()


def _nothing() -> None:
    """Is done by the first fork."""


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    saved, tempfile.tempdir = tempfile.tempdir, _SOCKETS if os.access(_SOCKETS, os.W_OK) else tempfile.tempdir
    try:
        # Made once for a process, as of Python 3.11, which does not document it.
        os.environ["WDR_SOCKET_FOLDER"] = util.get_temp_dir()
    finally:
        tempfile.tempdir = saved
    return context


def _work(worker_id: str, url: str, logging_url: str, temporary: str) -> None:
    """Does what a worker is told to, until the runner ends it or the process that asked for it ends."""
    # Beam and gRPC are imported by the process that forks.
    from apache_beam.portability.api import endpoints_pb2
    from apache_beam.runners.worker.log_handler import FnApiLogRecordHandler
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    with contextlib.ExitStack() as stack:
        if logging_url:
            handler = FnApiLogRecordHandler(endpoints_pb2.ApiServiceDescriptor(url=logging_url))
            stack.callback(handler.close)
            logging.getLogger().addHandler(handler)
            logging.getLogger().setLevel(logging.INFO)
        SdkHarness(url, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=0).run()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
