"""Turns for large messages on the event loop, so that a burst of them does not hold up what comes behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

#: A message of more bytes is large: 10,000 candidates are some 150 kB, and take 5 to 10 ms to count and to parse.
LARGE_BYTES = 64 << 10


class ParsingTurns:
    """Lets the event loop parse one large message in each of its cycles, and all small ones in between.

    150 requests of 10,000 candidates that come at once would otherwise be parsed one directly after the other, and a
    small request behind them would wait for a second or more.
    """

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self, num_bytes: int) -> AsyncIterator[None]:
        """Waits until a message of so many bytes may be parsed, at once if it is small; the body does not wait."""
        if num_bytes <= LARGE_BYTES:
            yield
            return
        async with self._large:
            await asyncio.sleep(0)  # small messages that came meanwhile go first
            yield
