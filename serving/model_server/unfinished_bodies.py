"""Request bodies that are still to come or to be parsed, bounded in the bytes that are there of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(eq=False)
class UnfinishedBody:
    """A body of which some is there, or all, and which is not parsed yet.

    Attributes:
      limit: Its time limit.
      bodies: All of them.
      size: How many bytes are there; 0 again once it is released.
      dropped: Whether it was ended, by its time limit, to make room for others.
    """

    limit: asyncio.Timeout
    bodies: UnfinishedBodies
    size: int = 0
    dropped: bool = False

    def add(self, size: int) -> None:
        """Some more bytes have come, or are there without their encoding."""
        self.bodies.add(self, size)

    def finish(self) -> None:
        """It is whole: it counts until it is released, and is not ended any more."""
        self.bodies.finish(self)

    def release(self) -> None:
        """It is parsed: it does not count any more."""
        self.bodies.release(self)


class UnfinishedBodies:
    """All bodies that are still to come or to be parsed. For the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        """There are none yet.

        Args:
          max_bytes: Of all of them.
        """
        self.max_bytes = max_bytes
        self._num_bytes = 0
        #: Those that are still to come; the one first for which nothing has come for the longest time.
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
            self.release(body)

    @property
    def exceeded(self) -> bool:
        """Whether there is too much of what is whole; what is still to come has been ended then."""
        return self._num_bytes > self.max_bytes

    def add(self, body: UnfinishedBody, size: int) -> None:
        """Counts more bytes of a body; if there are too many, ends those that have stalled the longest."""
        if body.dropped:
            return
        if body in self._bodies:
            self._bodies[body] = self._bodies.pop(body)
        body.size += size
        self._num_bytes += size
        while self._bodies and self._num_bytes > self.max_bytes:
            stalled = next(iter(self._bodies))
            stalled.dropped = True
            if not stalled.limit.expired():  # else its own time has just passed, and it ends by that
                stalled.limit.reschedule(0)  # in the past
            self.release(stalled)

    def finish(self, body: UnfinishedBody) -> None:
        """A body is whole."""
        self._bodies.pop(body, None)

    def release(self, body: UnfinishedBody) -> None:
        """Counts a body no more."""
        self._bodies.pop(body, None)
        self._num_bytes -= body.size
        body.size = 0
