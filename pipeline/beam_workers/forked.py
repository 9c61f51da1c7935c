"""Workers on this machine, forked from a process that has imported what they need and does nothing else.

A new Python imports TensorFlow, Beam and the components for 11 seconds of processor time; a fork takes milliseconds,
and shares their memory. The process that forks has no thread that runs Python (`multiprocessing`'s start method
`forkserver`); it ends with the process that asked for workers, and so do the workers, however that one ends.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import subprocess
import threading
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess

#: What workers import: the code of all nodes that read rows.
_IMPORTED = (
    "apache_beam.runners.worker.sdk_worker",
    "components.evaluation.executor",
    "components.ingestion.component",
    "components.late_labels.component",
    "components.statistics.computing",
    "components.transform_executor.workers",
)

#: A worker that has not ended by then is killed.
_END_SECONDS = 10


class ForkedWorker:
    """A worker's process, with the methods of `subprocess.Popen` by which Beam's pool ends one.

    Args:
      worker_id: The worker's id.
      url: The address that it calls.
      logging_url: The address to which it sends its log; empty for standard error.
    """

    def __init__(self, worker_id: str, url: str, logging_url: str) -> None:
        self._process: ForkServerProcess = _context().Process(target=_work, args=(worker_id, url, logging_url))
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill

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

    address = "`beam.num_workers`"
    words = "a worker (`beam.num_workers`)"
    first = ""

    def start(self, worker_id: str, url: str) -> ForkedWorker:
        """Forks a worker."""
        return ForkedWorker(worker_id, url, url)


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
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def _work(worker_id: str, url: str, logging_url: str) -> None:
    """Does what a worker is told to, until the runner ends it or the process that asked for it ends."""
    # Beam and gRPC are imported by the process that forks.
    from apache_beam.portability.api import endpoints_pb2
    from apache_beam.runners.worker.log_handler import FnApiLogRecordHandler
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    threading.Thread(target=_end_with_parent, daemon=True).start()
    if logging_url:
        logging.getLogger().addHandler(FnApiLogRecordHandler(endpoints_pb2.ApiServiceDescriptor(url=logging_url)))
        logging.getLogger().setLevel(logging.INFO)
    SdkHarness(url, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=0).run()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
