"""Bytes that no well-behaved client sends over a connection: floods of HTTP/2 frames, and HTTP bodies in tiny chunks.

HTTP/2 frames are as in RFC 9113, section 6; their headers are HPACK literals, RFC 7541, section 6.2.2.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time

_HEADERS, _RST_STREAM, _SETTINGS, _PING, _CONTINUATION = 1, 3, 4, 6, 9
_END_STREAM, _END_HEADERS = 1, 4
_CANCEL = (8).to_bytes(4)

#: `:method POST`, `:scheme http`, `:path`, `:authority`, `content-type` and `te`.
_CALL = (
    b"\x83\x86\x04\x2f/tensorflow.serving.PredictionService/Predict/X\x01\x01x"
    b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0)


def _streams(number: int) -> range:
    """The stream ids of a client, which are odd."""
    return range(1, 2 * number + 1, 2)


def _resets(number: int) -> bytes:
    """Calls that are reset as soon as they are opened (CVE-2023-44487)."""
    pairs = (_frame(_HEADERS, _END_HEADERS, s, _CALL) + _frame(_RST_STREAM, 0, s, _CANCEL) for s in _streams(number))
    return _PREFACE + b"".join(pairs)


def _continuations(number: int, size: int) -> bytes:
    """Headers that never end: each frame adds one of `size` bytes (CVE-2024-24549 and similar)."""
    header = b"\x00\x01x" + (b"\x7f" + bytes([(size - 127) & 0x7F | 0x80, (size - 127) >> 7]) if size > 126 else b"")
    header += b"v" * size if size > 126 else bytes([size]) + b"v" * size
    frames = itertools.repeat(_frame(_CONTINUATION, 0, 1, header), number)
    return _PREFACE + _frame(_HEADERS, 0, 1, _CALL) + b"".join(frames)


def _small_chunks(number: int) -> bytes:
    return (
        b"POST /v1/models/half_plus_three:predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"1\r\n \r\n" * number
    )


#: By name, the port, `grpc` or `rest`, and the bytes to send.
CONNECTIONS: dict[str, tuple[str, bytes]] = {
    "10,000 calls that are reset at once": ("grpc", _resets(10_000)),
    "a head of 1,000 frames of 16 kB": ("grpc", _continuations(1000, 16_000)),
    "a head of 500,000 empty frames": ("grpc", _PREFACE + _frame(_HEADERS, 0, 1, _CALL) + _frame(9, 0, 1) * 500_000),
    "100,000 pings": ("grpc", _PREFACE + _frame(_PING, 0, 0, bytes(8)) * 100_000),
    "100,000 settings": ("grpc", _PREFACE + _frame(_SETTINGS, 0, 0) * 100_000),
    "500,000 chunks of a byte": ("rest", _small_chunks(500_000)),
}


def send(port: int, content: bytes, patience: float = 5.0, quiet: float = 0.1) -> str:
    """Sends bytes over a new connection.

    Args:
      port: The server's port on this machine.
      content: The bytes.
      patience: The seconds for the server to take the bytes, and for one that has not closed the connection to answer.
      quiet: The seconds without a byte of the server after which the connection counts as open.

    Returns:
      `closed` if the server closed the connection; `open` if it accepted all bytes and did not.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        end = time.monotonic() + patience
        with contextlib.suppress(TimeoutError):
            try:
                connection.sendall(content)
                connection.settimeout(quiet)
                while connection.recv(1 << 20):
                    if time.monotonic() > end:
                        return "open"
            except ConnectionError:
                return "closed"
            return "closed"
    return "open"
