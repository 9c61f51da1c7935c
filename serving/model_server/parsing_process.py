"""Large bodies of JSON are parsed in a process of its own, which gives way to the one that answers.

Python computes in one thread at a time: a million small values, in a body of four megabytes, would keep everybody else
from it for tens of milliseconds, or, if the parser let others have their turn, each of their turns waiting for it.
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

#: Its niceness: what others ask for comes first, if the processors are not enough for both.
_NICENESS = 10

#: What a terminal or a service manager sends to all processes; the server ends its own when it is done.
_TOLD_TO_ALL = (signal.SIGINT, signal.SIGTERM)

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class ParsingProcess:
    """The process. It starts with the first large body, and again if something has ended it."""

    def __init__(self, max_waiting: int) -> None:
        """Does not start it yet.

        Args:
          max_waiting: How many bodies may wait while one is parsed.
        """
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._turn = asyncio.Lock()
        self._helper: _Helper | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "parsing-process")  # the one that speaks with it

    @property
    def num_waiting(self) -> int:
        return self._num_waiting

    async def run(
        self, deadline: float, function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Calls a function there, once it is its turn.

        Args:
          deadline: On `time.monotonic`'s clock, when nobody waits any more; what is at work then is ended.
          function: One of a module, as it is pickled by its name.
          *arguments: The function's, which are pickled, as its result is.

        Raises:
          ServingError: The function's; or if too many wait, the deadline passes, or the process is killed.
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
        """Waits for the turn, and has it meanwhile."""
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
            # Whatever it was, nobody knows any more what the process is at. The thread's call then ends, too.
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
        """Ends it, whatever it is at."""
        self._end()
        self._thread.shutdown(cancel_futures=True)


class _Helper:
    """A started process, and the connection to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: this one has threads of TensorFlow and of gRPC
        self._connection, its = context.Pipe()
        # It inherits what this thread is not told. The start of what `spawn` needs would undo that, if it came later.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_ALL)
        self._process = context.Process(target=_answer_calls, args=(its,), daemon=True)
        self._process.start()
        its.close()  # so that the end of the process is the end of the connection

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """A call's result, or its error.

        Raises:
          EOFError, OSError: If the process ends meanwhile.
        """
        self._connection.send((function, arguments))
        answer: tuple[Any, Exception | None] = self._connection.recv()
        return answer

    def end(self) -> int | None:
        """Kills it; returns its exit code."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode


def _answer_calls(connection: Connection) -> None:
    """What the process does, until the server ends, however that ends."""
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
    except Exception as error:  # as it is logged; not every error can be pickled
        return None, RuntimeError(f"{type(error).__name__}: {error}")
