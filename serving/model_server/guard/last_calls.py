"""Takes the gRPC calls that have arrived before a server stops.

gRPC hands its asyncio server one call at a time. The calls behind it wait in the library, which answers them CANCELLED
as soon as the server stops, whatever its grace: of 36 calls in flight, up to 34. It answers those alike that a client
sends before it learns that the server stops; so none should be on its way then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import grpc

#: The longest wait; with calls that come faster than they can be taken, it would not end. Answers wait as long.
MAX_SECONDS = 2.0

#: For how long no call may have arrived. A client that has its answer sends its next call once it gets a turn on its
#: machine: with eight busy processes on two cores that took up to 13 ms.
_QUIET_SECONDS = 0.03

#: There is no such socket, so that a call to it fails at once.
_NOWHERE = "unix-abstract:wide-deep-ranker-nowhere"


class LastCalls:
    """The calls that arrive while a server is about to stop. Use it only in the event loop's thread."""

    def __init__(self) -> None:
        self._num_arrived = 0
        #: While it is not set, no answer is sent.
        self._sends = asyncio.Event()
        self._sends.set()

    def add(self) -> None:
        """Records that a call has arrived."""
        self._num_arrived += 1

    async def sends(self) -> None:
        """Waits until an answer may be sent."""
        await self._sends.wait()

    async def take(self) -> None:
        """Waits until no call is left in the library, and lets no answer be sent until `release`.

        A client that waits for an answer then sends no further call in place of it.
        """
        self._sends.clear()
        end = time.monotonic() + MAX_SECONDS
        async with grpc.aio.insecure_channel(_NOWHERE) as channel:
            call = channel.unary_unary("/nowhere")
            num_arrived = -1
            while num_arrived != self._num_arrived and time.monotonic() < end:
                num_arrived = self._num_arrived
                await asyncio.sleep(_QUIET_SECONDS)
                # The library reports in order: the failure of this call comes behind the calls that it has.
                with contextlib.suppress(grpc.RpcError):
                    await call(b"", timeout=MAX_SECONDS)

    def release(self) -> None:
        """Lets answers be sent, once clients have been told to send their calls elsewhere."""
        self._sends.set()
