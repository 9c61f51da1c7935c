"""Request bodies that are still to come, bounded in the bytes that are there of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(eq=False)
class UnfinishedBody:
    """A body of which some is there.

    Attributes:
      limit: Its time limit.
      bodies: All of them.
      size: How many bytes are there.
      dropped: Whether it was ended, by its time limit, to make room for others.
    """

    limit: asyncio.Timeout
    bodies: UnfinishedBodies
    size: int = 0
    dropped: bool = False

    def add(self, size: int) -> None:
        """Some more bytes have come."""
        self.bodies.add(self, size)


class UnfinishedBodies:
    """All bodies that are still to come. For the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        """There are none yet.

        Args:
          max_bytes: Of all of them.
        """
        self.max_bytes = max_bytes
        self._num_bytes = 0
        #: The one first for which nothing has come for the longest time.
        self._bodies: dict[UnfinishedBody, None] = {}

    @contextlib.contextmanager
    def one(self, limit: asyncio.Timeout) -> Iterator[UnfinishedBody]:
        """Registers a body until the block ends.

        If all bodies together exceed `max_bytes`, the `limit` of the longest stalled one is ended.
        """
        body = UnfinishedBody(limit, self)
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._drop(body)

    def add(self, body: UnfinishedBody, size: int) -> None:
        """Counts more bytes of a body; if there are too many, ends those that have stalled the longest."""
        if body.dropped:
            return
        self._bodies[body] = self._bodies.pop(body)
        body.size += size
        self._num_bytes += size
        while self._num_bytes > self.max_bytes:
            stalled = next(iter(self._bodies))
            stalled.dropped = True
            if not stalled.limit.expired():  # else its own time has just passed, and it ends by that
                stalled.limit.reschedule(0)  # in the past
            self._drop(stalled)

    def _drop(self, body: UnfinishedBody) -> None:
        if body in self._bodies:
            del self._bodies[body]
            self._num_bytes -= body.size
