"""Runs a function that may block, such as a read from a remote file system, in a thread of its own.

A thread that hangs holds up neither the event loop, nor other models, nor the end of the process: the threads share no
pool, and are daemons.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

_R = TypeVar("_R")
_Args = TypeVarTuple("_Args")

#: How much nicer a thread is that computes behind the requests. Linux has a niceness for each thread.
_NICENESS = 10


def start(function: Callable[[*_Args], _R], *arguments: *_Args, behind_requests: bool = False) -> asyncio.Future[_R]:
    """Starts a function in a new thread.

    Args:
      function: What to run.
      arguments: Its arguments.
      behind_requests: Whether the thread has a lower priority than those that answer requests.

    Returns:
      A future of the event loop: the function's result, or what it raised.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_R] = loop.create_future()

    def settle(settle_future: Callable[[], None]) -> None:
        if not future.done():  # cancelled: nobody waits any more
            settle_future()

    def run() -> None:
        if behind_requests:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            os.nice(_NICENESS)
        try:
            result = function(*arguments)
        except Exception as error:  # raised again where the future is awaited
            raised = error
            loop.call_soon_threadsafe(settle, lambda: future.set_exception(raised))
        else:
            loop.call_soon_threadsafe(settle, lambda: future.set_result(result))

    threading.Thread(target=run, daemon=True, name=function.__name__).start()
    return future
