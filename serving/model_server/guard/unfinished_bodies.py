"""Bounds the bytes of all request bodies that have not arrived whole or are not parsed yet."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(eq=False)
class UnfinishedBody:
    """A body that has not arrived whole, or is not parsed yet.

    Attributes:
      limit: Its time limit.
      bodies: The collection that counts it.
      size: The bytes that have arrived; 0 again once it is released.
      dropped: Whether its time limit was ended to make room for others.
    """

    limit: asyncio.Timeout
    bodies: UnfinishedBodies
    size: int = 0
    dropped: bool = False

    def add(self, size: int) -> None:
        """Counts bytes that have arrived, or that were decoded."""
        self.bodies.add(self, size)

    def finish(self) -> None:
        """Records that the body is whole: it counts until it is released, but is not dropped any more."""
        self.bodies.finish(self)

    def release(self) -> None:
        """Records that the body is parsed or refused: it does not count any more."""
        self.bodies.release(self)


class UnfinishedBodies:
    """All bodies that have not arrived whole, or are not parsed yet. Use it only in the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        """Makes an empty collection.

        Args:
          max_bytes: The most bytes of all bodies together.
        """
        self.max_bytes = max_bytes
        self._num_bytes = 0
        #: The bodies that have not arrived whole; first the one that has received nothing for the longest time.
        self._bodies: dict[UnfinishedBody, None] = {}

    @contextlib.contextmanager
    def one(self, limit: asyncio.Timeout) -> Iterator[UnfinishedBody]:
        """Registers a body until the block ends.

        If all bodies together exceed `max_bytes`, the longest stalled one is dropped: its `limit` expires.
        """
        body = UnfinishedBody(limit, self)
        self._bodies[body] = None
        try:
            yield body
        finally:
            self.release(body)

    @property
    def exceeded(self) -> bool:
        """Whether the whole bodies alone are too large; all others have been dropped then."""
        return self._num_bytes > self.max_bytes

    def add(self, body: UnfinishedBody, size: int) -> None:
        """Counts more bytes of a body; if there are too many, drops the bodies that have stalled the longest."""
        if body.dropped:
            return
        if body in self._bodies:
            self._bodies[body] = self._bodies.pop(body)
        body.size += size
        self._num_bytes += size
        while self._bodies and self._num_bytes > self.max_bytes:
            stalled = next(iter(self._bodies))
            stalled.dropped = True
            if not stalled.limit.expired():  # else its own time has just passed, which ends it
                stalled.limit.reschedule(0)  # in the past
            self.release(stalled)

    def finish(self, body: UnfinishedBody) -> None:
        """Records that a body is whole."""
        self._bodies.pop(body, None)

    def release(self, body: UnfinishedBody) -> None:
        """Stops counting a body."""
        self._bodies.pop(body, None)
        self._num_bytes -= body.size
        body.size = 0
