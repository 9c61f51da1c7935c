"""The gRPC channel, its credentials and the metadata of calls, shared by both clients."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import grpc

from serving.credential_files import Contents, WatchedFiles, load_authority, load_pair, parse_tokens
from serving.ranking_client.settings import ClientSettings

#: The token file is checked at most this often.
LOOK_SECONDS = 1.0

#: A client reconnects to a server that was away after 20 ms; gRPC's default of 1 s is longer than a ranking may wait.
_RECONNECT_MS = {
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.min_reconnect_backoff_ms": 1_000,  # despite its name, how long a connection attempt may take
    "grpc.max_reconnect_backoff_ms": 1_000,
}

#: A connection whose peer is gone is closed at most 2.5 s after its last byte, even if no packet says so: after 1 s
#: without one, and after each call that ran out of time, a ping is sent, which must be answered within 1.5 s. As of
#: grpcio 1.85.3, `keepalive_timeout_ms` bounds only the kernel's wait (TCP_USER_TIMEOUT), and `ping_timeout_ms` the
#: ping's, which is 60 s by default. `max_pings_without_data` keeps its default: after two pings, a further one follows
#: only a minute later or when a call sends data. With more, a server with gRPC's defaults, such as TF Serving, ends a
#: call of 8 s for too many pings.
_KEEPALIVE = {
    "grpc.keepalive_time_ms": 1_000,
    "grpc.keepalive_timeout_ms": 1_500,
    "grpc.http2.ping_timeout_ms": 1_500,
    "grpc.http2.ping_on_rst_stream_percent": 100,  # else a rare call, over before the ping is due, would notice nothing
}


def open_channel(settings: ClientSettings, library: Any) -> Any:
    """Opens a channel to the server.

    Args:
      settings: The client's settings.
      library: `grpc`, or `grpc.aio` for a channel of asyncio.

    Raises:
      InputError: If a certificate file has no certificate, or the client's certificate and key are not a pair.
      OSError: If a file cannot be read.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_send_message_length", settings.max_request_bytes),
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        *_RECONNECT_MS.items(),
        *_KEEPALIVE.items(),
    ]
    if secure := _credentials(settings):
        return library.secure_channel(settings.server, secure, options)
    return library.insecure_channel(settings.server, options)


def _credentials(settings: ClientSettings) -> grpc.ChannelCredentials | None:
    """The channel's TLS credentials; None without TLS."""
    if settings.ca_certificate is None:
        return None
    # The files are checked here, since gRPC would only report that no server can be reached.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = Path(settings.ca_certificate).read_bytes()
    load_authority(context, authority, settings.ca_certificate)
    if settings.client_certificate is None or settings.client_key is None:
        return grpc.ssl_channel_credentials(authority)
    certificate, key = Path(settings.client_certificate).read_bytes(), Path(settings.client_key).read_bytes()
    load_pair(context, certificate, key, (settings.client_certificate, settings.client_key))
    return grpc.ssl_channel_credentials(authority, key, certificate)


class CallMetadata:
    """The metadata of every call; safe to share between threads.

    Raises:
      InputError: If the token file has no valid token.
      OSError: If it cannot be read.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._path = settings.token_file or ""
        self._file = WatchedFiles("the token", (self._path,), self._take, _report, looks=1) if self._path else None
        self._looked = time.monotonic()
        self._looking = threading.Lock()

    def now(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call made now. If the token file has changed to an invalid one, the earlier token stays."""
        if self._file and time.monotonic() - self._looked > LOOK_SECONDS and self._looking.acquire(blocking=False):
            try:
                self._file.check()
            finally:
                self._looked = time.monotonic()
                self._looking.release()
        return self._metadata

    def _take(self, contents: Contents) -> None:
        (content,) = contents
        token, *_ = parse_tokens(content, self._path)
        self._metadata = (("authorization", f"Bearer {token}"),)


def _report(level: str, message: str, reason: str | None) -> None:
    number = logging.ERROR if level == "error" else logging.INFO
    logging.getLogger(__name__).log(number, "%s", f"{message}: {reason}" if reason else message)
