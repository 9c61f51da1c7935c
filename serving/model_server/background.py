"""Runs functions that may block, such as reads from a remote file system, each in its own thread.

A thread that hangs blocks neither the event loop, nor other models, nor the process's exit: the threads share no pool,
and are daemons.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

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
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_R] = loop.create_future()

    def settle(settle_future: Callable[[], None]) -> None:
        if not future.done():  # done already if it was cancelled
            settle_future()

    def run() -> None:
        if behind_requests:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            os.nice(_NICENESS)
        try:
            result = function(*arguments)
        except Exception as error:  # raised where the future is awaited
            raised = error
            loop.call_soon_threadsafe(settle, lambda: future.set_exception(raised))
        else:
            loop.call_soon_threadsafe(settle, lambda: future.set_result(result))

    threading.Thread(target=run, daemon=True, name=function.__name__).start()
    return future
