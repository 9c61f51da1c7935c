"""Large bodies of JSON are parsed in a process of its own, which gives way to the one that answers.

Python computes in one thread at a time: a million small values, in a body of four megabytes, would keep everybody else
from it for tens of milliseconds, or, if the parser let others have their turn, each of their turns waiting for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import grpc

from serving.model_server.errors import ServingError
from serving.model_server.protos import import_protos_alone

#: Its niceness: what others ask for comes first, if the processors are not enough for both.
_NICENESS = 10

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class _Process:
    process: BaseProcess
    connection: Connection

    def end(self) -> None:
        self.connection.close()  # at which it ends by itself, if it has not yet
        self.process.join()


class ParsingProcess:
    """The process. It starts with the first large body, and again if something has ended it."""

    def __init__(self, max_waiting: int) -> None:
        """Does not start it yet.

        Args:
          max_waiting: How many bodies may be there, the one at work included.
        """
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._process: _Process | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "parsing-process")  # the only one to use the process

    async def run(self, deadline: float, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Calls a function there.

        Args:
          deadline: On `time.monotonic`'s clock, when nobody waits any more.
          function: One of a module, as it is pickled by its name.
          *arguments: The function's, which are pickled, as its result is.

        Raises:
          ServingError: The function's; or if there are too many bodies, the deadline passes, or the process is killed.
        """
        if self._num_waiting >= self._max_waiting:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"at most {self._max_waiting} large bodies may be there at once; try again later",
            )
        self._num_waiting += 1
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                loop = asyncio.get_running_loop()
                result: _Result = await loop.run_in_executor(self._thread, self._call, function, arguments)
        except TimeoutError as error:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the body was parsed"
            ) from error
        finally:
            self._num_waiting -= 1
        return result

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._process is None or not self._process.process.is_alive():
            self._process = _started()
        try:
            self._process.connection.send((function, arguments))
            result, error = self._process.connection.recv()
        except (EOFError, OSError) as ended:
            self._process.end()
            self._process = None
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, "the process that parses large bodies was killed; try again"
            ) from ended
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Ends it, once what waits is done."""
        self._thread.shutdown()
        if self._process is not None:
            self._process.end()


def _started() -> _Process:
    context = multiprocessing.get_context("spawn")  # not forked: this process has threads of TensorFlow and of gRPC
    ours, its = context.Pipe()
    process = context.Process(target=_parse, args=(its,), daemon=True)
    process.start()
    its.close()  # so that the end of the process is the end of the connection
    return _Process(process, ours)


def _parse(connection: Connection) -> None:
    """What the process does, until the server ends, by itself or not."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the server ends this one
    import_protos_alone()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        result = error = None
        try:
            result = function(*arguments)
        except Exception as raised:  # again where the body is waited for
            error = raised
        connection.send((result, error))
