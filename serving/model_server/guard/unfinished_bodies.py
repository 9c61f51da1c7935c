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
        """Counts bytes that have arrived, or that were decoded.

        If there are too many of all bodies, those that have stalled the longest are dropped.
        """
        if self.dropped:
            return
        arriving = self.bodies.arriving
        if self in arriving:
            arriving[self] = arriving.pop(self)
        self.size += size
        self.bodies.num_bytes += size
        while arriving and self.bodies.exceeded:
            stalled = next(iter(arriving))
            stalled.dropped = True
            if not stalled.limit.expired():  # else its own time has just passed, which ends it
                stalled.limit.reschedule(0)  # in the past
            stalled.release()

    def finish(self) -> None:
        """Records that the body is whole: it counts until it is released, but is not dropped any more."""
        self.bodies.arriving.pop(self, None)

    def release(self) -> None:
        """Records that the body is parsed or refused: it does not count any more."""
        self.finish()
        self.bodies.num_bytes -= self.size
        self.size = 0


class UnfinishedBodies:
    """All bodies that have not arrived whole, or are not parsed yet. Use it only in the event loop's thread.

    Attributes:
      max_bytes: The most bytes of all bodies together.
      num_bytes: The bytes of all bodies.
      arriving: The bodies that have not arrived whole; first the one that has received nothing for the longest time.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self.arriving: dict[UnfinishedBody, None] = {}

    @contextlib.contextmanager
    def one(self, limit: asyncio.Timeout) -> Iterator[UnfinishedBody]:
        """Registers a body until the block ends.

        If all bodies together exceed `max_bytes`, the longest stalled one is dropped: its `limit` expires.
        """
        body = UnfinishedBody(limit, self)
        self.arriving[body] = None
        try:
            yield body
        finally:
            body.release()

    @property
    def exceeded(self) -> bool:
        """Whether the whole bodies alone are too large; all others have been dropped then."""
        return self.num_bytes > self.max_bytes
