"""Bounds the time and the number of gRPC requests whose message has not arrived whole.

gRPC reads the message of a unary method before it calls the handler, without a time limit. So the server's methods are
registered as those of a stream, which is the same on the wire, and read their one message here.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import grpc

#: The most messages that may have been arriving for `_SLOW_SECONDS` or longer. gRPC does not say how much of a message
#: has arrived, so the memory is bounded as if each had the largest size: 64 of 8 MiB have 512 MiB.
MAX_SLOW = 64
_SLOW_SECONDS = 1.0

#: A call without a message was most likely cancelled, and gRPC then cancels its handler within this time.
_CANCEL_SECONDS = 1.0


@dataclasses.dataclass(eq=False)
class _Arrival:
    """A message that is arriving.

    Attributes:
      context: Its call.
      since: When its call arrived, on the event loop's clock.
      refusal: The task that refuses the call; None if it is not refused.
    """

    context: grpc.aio.ServicerContext
    since: float
    refusal: asyncio.Task[None] | None = None

    def refuse(self, code: grpc.StatusCode, sentence: str) -> None:
        """Begins to refuse the call, which ends the read of its message."""
        if self.refusal is None:
            self.refusal = asyncio.create_task(self.context.abort(code, sentence))


class UnreadMessages:
    """The messages that are arriving. Use it only in the event loop's thread.

    Args:
      seconds: The time within which a message must arrive.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: In the order in which their calls arrived.
        self._arrivals: dict[_Arrival, None] = {}
        self._check: asyncio.TimerHandle | None = None

    async def read(self, context: grpc.aio.ServicerContext) -> Any:
        """Reads the one message of a call, of a method that is registered as one of a stream of requests.

        Raises:
          grpc.aio.AbortError: If the call is refused: the message is late, missing, or dropped to make room for others.
        """
        loop = asyncio.get_running_loop()
        arrival = _Arrival(context, loop.time())
        sentence = f"a request's message must come within {self._seconds:g} seconds"
        timer = loop.call_later(self._seconds, arrival.refuse, grpc.StatusCode.DEADLINE_EXCEEDED, sentence)
        self._arrivals[arrival] = None
        if self._check is None and len(self._arrivals) > MAX_SLOW:
            self._drop_slow()
        try:
            message = await context.read()
        finally:
            timer.cancel()
            self._arrivals.pop(arrival, None)
            if arrival.refusal is not None:
                await arrival.refusal
        if message is grpc.aio.EOF:
            await asyncio.sleep(_CANCEL_SECONDS)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a request must have a message")
        return message

    def _drop_slow(self) -> None:
        """While there are too many messages, refuses the oldest that are slow, now and when others become slow."""
        loop = asyncio.get_running_loop()
        self._check = None
        while len(self._arrivals) > MAX_SLOW:
            oldest = next(iter(self._arrivals))
            if (slow_at := oldest.since + _SLOW_SECONDS) > loop.time():
                self._check = loop.call_at(slow_at, self._drop_slow)
                return
            del self._arrivals[oldest]
            oldest.refuse(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_SLOW} messages are arriving slowly already; try again later"
            )
