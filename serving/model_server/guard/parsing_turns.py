"""Parses large messages in turns, so that they delay no small one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serving.model_server.guard.wire import LARGE_BYTES


class ParsingTurns:
    """Lets the event loop parse one large message in each of its cycles, and all small ones in between.

    Otherwise 150 simultaneous requests of 10,000 candidates would be parsed directly one after the other, and a small
    request behind them would wait for a second or more.
    """

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self, num_bytes: int) -> AsyncIterator[None]:
        """Waits until a message of this size may be parsed; a small one does not wait. The block must not await."""
        if num_bytes <= LARGE_BYTES:
            yield
            return
        async with self._large:
            await asyncio.sleep(0)  # small messages that arrived meanwhile go first
            yield
