"""Parses large messages so that they delay no other request: in a separate process of lower priority, or in turns.

Python runs one thread at a time: parsing a million small values, in a body of 4 MB, would block all other requests for
tens of milliseconds. If the parser yielded to them, they would still wait for it at each of their turns.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import multiprocessing
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar, TypeVarTuple

import grpc

from serving.model_server.errors import ServingError
from serving.model_server.guard import background
from serving.model_server.guard.wire import LARGE_BYTES
from serving.model_server.logs import log
from serving.model_server.protos import import_protos_alone

#: The time limit of its start, which takes a second or two.
_START_SECONDS = 60.0

#: Signals that a terminal or a service manager sends to all processes; the server ends this process when it is done.
_TOLD_TO_ALL = (signal.SIGINT, signal.SIGTERM)

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class ParsingProcess:
    """The parsing process. Neither its start nor a call at work ends because a caller stops waiting."""

    def __init__(self, max_waiting: int, call_seconds: float, modules: Sequence[str] = ()) -> None:
        """Prepares the process without starting it.

        Args:
          max_waiting: The most bodies that may wait while one is parsed.
          call_seconds: The time limit of a call at work, after which the process is killed and started again.
          modules: The modules of the functions that it will be called with; it imports them at its start.
        """
        self._max_waiting = max_waiting
        self._call_seconds = call_seconds
        self._modules = modules
        self._num_waiting = 0
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._helper: _Helper | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "parsing-process")  # the only one to use the connection

    @property
    def num_waiting(self) -> int:
        return self._num_waiting

    def start(self) -> None:
        """Begins to start the process, in a task of the running event loop; calls wait for it.

        Otherwise the first call starts it. If it cannot be started, that is logged, and the next call tries again.
        """
        self._begin(self._start_in_turn())

    async def run(
        self, deadline: float, function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Calls a function in the process, once it is its turn.

        Args:
          deadline: When the caller stops waiting, on `time.monotonic`'s clock. A call that waits is then dropped; one
            at work continues, as it does if the caller is cancelled.
          function: A module-level function, since it is pickled by its name.
          *arguments: The function's arguments; they and its result are pickled.

        Raises:
          ServingError: The function's own; or if too many wait, the deadline passes, the call takes longer than
            `call_seconds`, or the process is killed.
          RuntimeError: If the function raises anything else.
        """
        if self._turn.locked() and self._num_waiting >= self._max_waiting:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._max_waiting} large bodies wait already; try again later"
            )
        try:
            if (seconds := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            async with asyncio.timeout(seconds):
                self._num_waiting += 1
                try:
                    await self._turn.acquire()
                finally:
                    self._num_waiting -= 1
                # In a task of its own: starting a process takes longer than many callers wait, and a client that sends
                # copies of a call cancels all but the first that is answered.
                call = self._begin(self._call_in_turn(function, arguments))
                call.add_done_callback(lambda call: call.cancelled() or call.exception())  # the caller may be gone
                result, error = await asyncio.shield(call)
        except TimeoutError as late:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the body was parsed"
            ) from late
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def _begin(self, steps: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Releases the turn, which is acquired, after the block; after an error, it kills the process first.

        The process's state is unknown then, and its end is what ends the thread's call.
        """
        try:
            yield
        except BaseException as error:
            exit_code = await self._end()
            if isinstance(error, (EOFError, OSError)):
                log("error", "the process that parses large bodies ended", reason=str(error), exit_code=exit_code)
            raise
        finally:
            self._turn.release()

    async def _start_in_turn(self) -> None:
        await self._turn.acquire()
        with contextlib.suppress(EOFError, OSError):  # which are logged
            async with self._in_turn():
                await self._started()

    async def _call_in_turn(
        self, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> tuple[Any, Exception | None]:
        try:
            async with self._in_turn():
                helper = await self._started()
                try:
                    async with asyncio.timeout(self._call_seconds):
                        return await self._in_thread(helper.call, function, arguments)
                except TimeoutError as error:
                    raise TimeoutError(f"a body must be parsed within {self._call_seconds:g} seconds") from error
        except TimeoutError as error:
            self.start()
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, str(error)) from error
        except (EOFError, OSError) as error:
            self.start()
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, "the process that parses large bodies has ended; try again"
            ) from error

    async def _started(self) -> _Helper:
        """Starts the process unless it runs, and waits until it answers; raises EOFError or OSError if it does not."""
        if self._helper is not None and not self._helper.process.is_alive():
            await self._end()
        if self._helper is not None:
            return self._helper
        try:
            async with asyncio.timeout(_START_SECONDS):
                helper = await self._in_thread(self._spawn)
                await self._in_thread(helper.call, abs, (0,))
        except TimeoutError as error:
            raise OSError(f"it must start within {_START_SECONDS:g} seconds") from error
        return helper

    def _spawn(self) -> _Helper:
        helper = _Helper(self._modules)
        self._helper = helper  # set here, in the thread, since the task that waits may be cancelled
        return helper

    async def _in_thread(self, function: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _end(self) -> int | None:
        """Kills the process; returns its exit code."""
        helper, self._helper = self._helper, None
        if helper is None:
            return None
        helper.process.kill()
        await self._in_thread(helper.process.join)
        return helper.process.exitcode

    def close(self) -> None:
        """Kills the process, whatever it is doing."""
        for task in self._tasks:
            task.cancel()
        if self._helper is not None:
            self._helper.process.kill()
        self._thread.shutdown(cancel_futures=True)
        helper, self._helper = self._helper, None
        if helper is not None:  # the one that was killed, or one that was being started
            helper.process.kill()
            helper.process.join()


class _Helper:
    """A started process and the connection to it."""

    def __init__(self, modules: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: this one has threads of TensorFlow and of gRPC
        self._connection, its = context.Pipe()
        # The process inherits this thread's signal mask. Starting the resource tracker, which `spawn` needs, resets the
        # mask, so it is started first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_ALL)
        self.process = context.Process(target=_answer_calls, args=(its, modules), daemon=True)
        self.process.start()
        its.close()  # so that the connection ends with the process

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """Makes a call; returns its result or its error.

        Raises:
          EOFError, OSError: If the process ends during the call.
        """
        self._connection.send((function, arguments))
        answer: tuple[Any, Exception | None] = self._connection.recv()
        return answer


def _answer_calls(connection: Connection, modules: Sequence[str]) -> None:
    """Answers calls until the server ends, however it ends; the process runs this function."""
    background.lower_niceness()
    import_protos_alone()
    for module in modules:
        importlib.import_module(module)
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


class ParsingTurns:
    """Lets the event loop parse one large message in each of its cycles, and all small ones in between.

    Otherwise 150 simultaneous requests of 10,000 candidates would be parsed directly one after the other, and a small
    request behind them would wait for a second or more.
    """

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self, num_bytes: int) -> AsyncIterator[None]:
        """Waits until a message of this size may be parsed; a small one does not wait. The block must not await."""
        if num_bytes <= LARGE_BYTES:
            yield
            return
        async with self._large:
            await asyncio.sleep(0)  # small messages that arrived meanwhile go first
            yield
