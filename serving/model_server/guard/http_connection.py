"""HTTP connections with bounds on their number, on the time until a request's head, and on the chunks of a body.

uvicorn 0.54.0 documents neither its protocol class, from which the bounded one derives, nor the class's attributes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: The parser takes at least as long for a chunk as for 512 bytes of a large one; 4 MB in chunks of one byte took a
#: minute of processor time. Chunks must have 512 bytes on average, apart from the first 100.
_MIN_CHUNK_BYTES = 512
_UNCOUNTED_CHUNKS = 100

_RESPONSE = "HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"


class _Connection(h11.Connection):
    """A parser that refuses a body in chunks that are too small, and one whose end two headers say.

    A proxy in front may take the other end (RFC 9112, 6.1), and so see other requests on the connection.
    """

    _num_chunks = _num_bytes = 0
    #: The reason, if it has refused one.
    refusal = ""

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._num_chunks = self._num_bytes = 0
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                self.refusal = "a request must not have both Content-Length and Transfer-Encoding"
                raise h11.RemoteProtocolError(self.refusal)
        elif isinstance(event, h11.Data):
            self._num_chunks += event.chunk_end
            self._num_bytes += len(event.data)
            if self._num_chunks > _UNCOUNTED_CHUNKS + self._num_bytes // _MIN_CHUNK_BYTES:
                self.refusal = (
                    f"a body's chunks, but for {_UNCOUNTED_CHUNKS} of them, must have {_MIN_CHUNK_BYTES} bytes on "
                    f"average. Received: {self._num_bytes} bytes in {self._num_chunks} chunks"
                )
                raise h11.RemoteProtocolError(self.refusal)
        return event


class _BoundedProtocol(H11Protocol):
    """A connection with the bounds of `bounded_protocol`, which sets the first two attributes."""

    _seconds: float
    _max_connections: int | None
    _timer: asyncio.TimerHandle | None = None
    #: When the last request had arrived whole, or the connection was made.
    _whole_at = 0.0
    #: Whether it was aborted; until the event loop's next cycle it is still in `connections`.
    _aborted = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = self.config.h11_max_incomplete_event_size
        self.conn: _Connection = _Connection(h11.SERVER, *(() if most is None else (most,)))

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._whole_at = self.loop.time()
        self._wait()
        if self._max_connections is not None and len(self.connections) > self._max_connections:
            self._make_room(self._max_connections)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:
            self._stop()
            if not self.cycle.more_body:
                self._whole_at = self.loop.time()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Called by uvicorn after it has written a response, and closed the connection if it was the last one."""
        super().on_response_complete()
        self._bound_closing()

    def timeout_keep_alive_handler(self) -> None:
        """Called by uvicorn when no further request has arrived."""
        super().timeout_keep_alive_handler()
        self._bound_closing()

    @property
    def waits_for_client(self) -> bool:
        """Whether it waits for the client: for a request, for the rest of one, or to receive the response."""
        at_work = self.cycle and not self.cycle.response_complete and not self.cycle.more_body
        return not at_work or self.flow.write_paused

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when a request is not valid HTTP."""
        self._refuse("400 Bad Request", self.conn.refusal or msg)

    def _make_room(self, most: int) -> None:
        others = [each for each in self.connections if isinstance(each, _BoundedProtocol) and each is not self]
        staying = sorted((each for each in others if not each._aborted), key=lambda each: each._whole_at)
        closing = [each for each in staying if each.transport.is_closing()]
        waiting = [each for each in staying if each.waits_for_client and not each.transport.is_closing()]
        ended = (closing + waiting)[: len(staying) + 1 - most]
        if len(staying) + 1 - len(ended) > most:
            self._refuse("503 Service Unavailable", f"at most {most} connections can be open")
            return
        for each in ended:
            each._abort()

    def _abort(self) -> None:
        self._aborted = True
        self.transport.abort()

    def _bound_closing(self) -> None:
        """Aborts a closed connection if its client does not receive the rest; asyncio would wait forever."""
        if self.transport.is_closing():
            self._stop()
            self._timer = self.loop.call_later(self._seconds, self._abort)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self._seconds, self._give_up)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing() and not (self.cycle and not self.cycle.response_complete):
            self._refuse("408 Request Timeout", f"a request's head must come within {self._seconds:g} seconds")

    def _refuse(self, status: str, error: str) -> None:
        """Sends an error and closes the connection; once a response has begun, only closes it."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR):
            body = json.dumps({"error": error})
            self.transport.write((_RESPONSE % (status, len(body), body)).encode())
        if self.cycle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
        self._bound_closing()


def bounded_protocol(seconds: float, max_connections: int | None = None) -> type[H11Protocol]:
    """Makes a protocol class for uvicorn that bounds what a connection can take.

    Args:
      seconds: The time within which a connection's next request's head must arrive, else the connection is closed. Also
        the time within which the client of a closed connection must receive the rest of its response, else the
        connection is aborted.
      max_connections: The most connections; None for any number. A further connection aborts one that is closed but has
        part of a response left to send; else the one that has waited longest for its client. If there is neither, the
        new one is refused.
    """
    return type("BoundedProtocol", (_BoundedProtocol,), {"_seconds": seconds, "_max_connections": max_connections})
