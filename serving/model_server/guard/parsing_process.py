"""Parses large messages in a separate process of lower priority, so that they delay no other request.

Python runs one thread at a time: parsing a million small values, in a body of 4 MB, would block all other requests for
tens of milliseconds. If the parser yielded to them, they would still wait for it at each of their turns.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import multiprocessing
import pickle
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import grpc

from serving.model_server.errors import ServingError
from serving.model_server.guard import background
from serving.model_server.logs import log
from serving.model_server.protos import import_protos_alone

#: The time limit of its start, which takes a second or two.
_START_SECONDS = 60.0

#: The memory that a call may take, in bytes: this much, or so many times the largest body. A body of 8 MiB that has a
#: million features of Examples takes 236 MB. One of lists in each other would take 346 MB.
_MIN_MEMORY = 256 << 20
_MEMORY_BY_BODY = 32

#: Signals that a terminal or a service manager sends to all processes; the server ends this process when it is done.
_TOLD_TO_ALL = (signal.SIGINT, signal.SIGTERM)

#: The place of the pages of data in `/proc/self/statm` (man page proc_pid_statm).
_DATA_PAGES = 5

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class ParsingProcess:
    """The parsing process. Neither its start nor a call at work ends because a caller stops waiting."""

    def __init__(self, max_waiting: int, call_seconds: float, max_body_bytes: int, modules: Sequence[str] = ()) -> None:
        """Prepares the process without starting it.

        Args:
          max_waiting: The most bodies that may wait while one is parsed.
          call_seconds: The time limit of a call at work, after which the process is killed and started again.
          max_body_bytes: The size of the largest body, which decides how much memory a call may take.
          modules: The modules of the functions that it will be called with; it imports them at its start.
        """
        self._max_waiting = max_waiting
        self._call_seconds = call_seconds
        self._modules = modules
        self._max_memory = max(_MIN_MEMORY, _MEMORY_BY_BODY * max_body_bytes)
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
            `call_seconds` or too much memory, or the process is killed.
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
        helper = _Helper(self._modules, self._max_memory)
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

    def __init__(self, modules: Sequence[str], max_memory: int) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: this one has threads of TensorFlow and of gRPC
        self._connection, its = context.Pipe()
        # The process inherits this thread's signal mask. Starting the resource tracker, which `spawn` needs, resets the
        # mask, so it is started first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_ALL)
        self.process = context.Process(target=_answer_calls, args=(its, modules, max_memory), daemon=True)
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


def _answer_calls(connection: Connection, modules: Sequence[str], max_memory: int) -> None:
    """Answers calls until the server ends, however it ends; the process runs this function."""
    background.lower_niceness()
    import_protos_alone()
    for module in modules:
        importlib.import_module(module)
    _limit_memory(max_memory)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send_bytes(_outcome(max_memory, *connection.recv()))


def _limit_memory(num_bytes: int) -> None:
    """Lets this process take so many bytes of memory beside those that it has; beyond, Python raises MemoryError.

    The limit is Linux's on data, which does not count the code of libraries. Elsewhere there is none.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_DATA_PAGES])
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + num_bytes, most))
    except (OSError, ValueError) as error:
        log("warning", "the memory of the process that parses large bodies cannot be limited", reason=str(error))


def _outcome(max_memory: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Calls a function; returns its result or its error, pickled, since pickling takes memory too.

    No variable of this function may hold an error: its traceback holds this function's frame. Such a cycle would keep
    what the body was parsed to, which is in the traceback as well, until some later body is parsed.
    """
    try:
        return pickle.dumps((function(*arguments), None))
    except ServingError as error:
        return pickle.dumps((None, error))
    except MemoryError:
        pass
    except Exception as error:  # as text, since not every error can be pickled
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    # Here, what the error's traceback held is freed.
    received = next((f" of {len(part)} bytes" for part in arguments if isinstance(part, bytes)), "")
    text = f"a large body must be parsed within {max_memory} bytes of memory. Received: one{received} that takes more"
    return pickle.dumps((None, ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)))
