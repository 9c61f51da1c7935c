"""Reads of files with a time limit, each in a thread of its own: a folder that hangs delays nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from serving.model_server.guard import background

_R = TypeVar("_R")


class BoundedReads:
    """Runs functions that read files. Use it only in the event loop's thread."""

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
        future = background.start(function, *arguments, behind_requests=behind_requests)

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
