"""Parses large JSON bodies, and counts the parts of large gRPC messages, in a separate process of lower priority.

Python runs one thread at a time: parsing a million small values, in a body of 4 MB, would block all other requests for
tens of milliseconds. If the parser yielded to them, they would still wait for it at each of their turns.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar, TypeVarTuple

import grpc

from serving.model_server.errors import ServingError
from serving.model_server.logs import log
from serving.model_server.protos import import_protos_alone

#: The process's niceness: if the processors are busy, other requests go first.
_NICENESS = 10

#: Signals that a terminal or a service manager sends to all processes; the server ends this process when it is done.
_TOLD_TO_ALL = (signal.SIGINT, signal.SIGTERM)

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class ParsingProcess:
    """The parsing process. It starts with the first large body, and again if something has ended it."""

    def __init__(self, max_waiting: int) -> None:
        """Prepares the process without starting it.

        Args:
          max_waiting: The most bodies that may wait while one is parsed.
        """
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._turn = asyncio.Lock()
        self._helper: _Helper | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "parsing-process")  # the only one to use the connection

    @property
    def num_waiting(self) -> int:
        return self._num_waiting

    async def run(
        self, deadline: float, function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Calls a function in the process, once it is its turn.

        Args:
          deadline: When the caller stops waiting, on `time.monotonic`'s clock; a call at work is then ended.
          function: A module-level function, since it is pickled by its name.
          *arguments: The function's arguments; they and its result are pickled.

        Raises:
          ServingError: The function's own; or if too many wait, the deadline passes, or the process is killed.
          RuntimeError: If the function raises anything else.
        """
        if self._turn.locked() and self._num_waiting >= self._max_waiting:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._max_waiting} large bodies wait already; try again later",
            )
        try:
            async with asyncio.timeout(deadline - time.monotonic()), self._waited_for():
                result, error = await self._call(function, arguments)
        except TimeoutError as late:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the body was parsed"
            ) from late
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    @contextlib.asynccontextmanager
    async def _waited_for(self) -> AsyncIterator[None]:
        """Waits for its turn, and holds it within the block."""
        self._num_waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._num_waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    async def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        loop = asyncio.get_running_loop()
        try:
            if self._helper is not None and not self._helper.is_alive():
                self._end()
            if self._helper is None:
                self._helper = await loop.run_in_executor(self._thread, _Helper)
            answer = loop.run_in_executor(self._thread, self._helper.call, function, arguments)
            return await asyncio.shield(answer)
        except BaseException as error:
            # After any error, the state of the process is unknown, so it is ended. That ends the thread's call, too.
            exit_code = self._end()
            if isinstance(error, (EOFError, OSError)):
                log("error", "the process that parses large bodies ended", reason=str(error), exit_code=exit_code)
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE, "the process that parses large bodies has ended; try again"
                ) from error
            raise

    def _end(self) -> int | None:
        helper, self._helper = self._helper, None
        return helper.end() if helper else None

    def close(self) -> None:
        """Kills the process, whatever it is doing."""
        self._end()
        self._thread.shutdown(cancel_futures=True)


class _Helper:
    """A started process and the connection to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: this one has threads of TensorFlow and of gRPC
        self._connection, its = context.Pipe()
        # The process inherits this thread's signal mask. Starting the resource tracker, which `spawn` needs, resets the
        # mask, so it is started first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_ALL)
        self._process = context.Process(target=_answer_calls, args=(its,), daemon=True)
        self._process.start()
        its.close()  # so that the connection ends with the process

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """Makes a call; returns its result or its error.

        Raises:
          EOFError, OSError: If the process ends during the call.
        """
        self._connection.send((function, arguments))
        answer: tuple[Any, Exception | None] = self._connection.recv()
        return answer

    def end(self) -> int | None:
        """Kills the process; returns its exit code."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode


def _answer_calls(connection: Connection) -> None:
    """Answers calls until the server ends, however it ends; the process runs this function."""
    os.nice(_NICENESS)
    import_protos_alone()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_outcome(*connection.recv()))


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*arguments), None
    except ServingError as error:
        return None, error
    except Exception as error:  # as text, since not every error can be pickled
        return None, RuntimeError(f"{type(error).__name__}: {error}")
