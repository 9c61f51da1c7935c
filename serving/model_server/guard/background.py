"""Runs functions that may block, such as reads from a remote file system, each in its own thread; some with a limit.

A thread that hangs blocks neither the event loop, nor other models, nor the process's exit: the threads share no pool,
and are daemons.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from serving.model_server.logs import log

_R = TypeVar("_R")
_Args = TypeVarTuple("_Args")

#: The niceness that is added to a thread with lower priority than the requests'. On Linux each thread has its own.
_NICENESS = 10


def start(function: Callable[[*_Args], _R], *arguments: *_Args, behind_requests: bool = False) -> asyncio.Future[_R]:
    """Starts a function in a new thread.

    Args:
      function: The function to run.
      arguments: Its arguments.
      behind_requests: Whether the thread runs at a lower priority than those that answer requests.

    Returns:
      A future of the running event loop, with the function's result or exception.
    """
    outcome: concurrent.futures.Future[_R] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # from now on, it cannot be cancelled, as the thread cannot

    def run() -> None:
        if behind_requests:
            _give_way()
        try:
            outcome.set_result(function(*arguments))
        except Exception as error:  # raised where the future is awaited
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name=function.__name__).start()
    return asyncio.wrap_future(outcome)


def _give_way() -> None:
    """Lowers this thread's priority, if the system allows it; otherwise the function still has to run."""
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        _log_once(str(error))
    lower_niceness()


def lower_niceness() -> None:
    """Lets other threads go before this thread, or this process with one thread; logs if the system refuses it."""
    try:
        os.nice(_NICENESS)
    except OSError as error:
        _log_once(str(error))


@functools.cache
def _log_once(reason: str) -> None:
    log("warning", "a thread or process keeps its priority", reason=reason)


class BoundedReads:
    """Runs functions that read files, with a time limit: a folder that hangs delays nothing else.

    Use it only in the event loop's thread.
    """

    def __init__(self) -> None:
        self._overdue: set[str] = set()

    @property
    def overdue(self) -> list[str]:
        """The paths that a thread is still reading after its time limit."""
        return sorted(self._overdue)

    async def within(
        self,
        seconds: float,
        what: str,
        path: str,
        function: Callable[..., _R],
        *arguments: object,
        behind_requests: bool = False,
        discard: Callable[[_R], object] | None = None,
    ) -> _R:
        """Runs a function that reads files in a thread, and waits for it for a limited time.

        Args:
          seconds: The time limit.
          what: What has to be done in this time, such as `a version must load`, for the error.
          path: The path that it reads.
          function: The function.
          arguments: Its arguments.
          behind_requests: Whether its thread has a low priority.
          discard: Called with a result that is too late.

        Raises:
          OSError: If the time is up, or an earlier call for the same path is still running; and whatever the function
            raises.
        """
        if path in self._overdue:
            raise TimeoutError(f"an earlier read of it hangs ({path})")
        future = start(function, *arguments, behind_requests=behind_requests)

        def end_overdue(future: asyncio.Future[_R]) -> None:
            self._overdue.discard(path)
            if discard and not future.exception():
                discard(future.result())

        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            if not future.done():  # late, or this task was cancelled
                self._overdue.add(path)
                future.add_done_callback(end_overdue)
        if not future.done():
            raise TimeoutError(f"{what} within {seconds:g} seconds ({path})")
        return future.result()
