"""What both clients' channels have in common."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from pathlib import Path

import grpc

from serving.pem import load_authority, load_pair
from serving.ranking_client.settings import ClientSettings
from serving.token_file import parse_tokens
from serving.watched_files import Contents, WatchedFiles

#: A token's file is looked at so often at most.
LOOK_SECONDS = 1.0

#: A server that was away is looked for again after so long, not after gRPC's second: a ranking has no second to wait.
_RECONNECT_MS = {
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.min_reconnect_backoff_ms": 1_000,  # which is how long a connection may take, whatever its name
    "grpc.max_reconnect_backoff_ms": 1_000,
}


def options(settings: ClientSettings) -> list[tuple[str, int | str]]:
    """The channel's options."""
    return [
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_send_message_length", settings.max_request_bytes),
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        *_RECONNECT_MS.items(),
    ]


def credentials(settings: ClientSettings) -> grpc.ChannelCredentials | None:
    """TLS, or None for none.

    Raises:
      InputError: If a certificate's file has none, or the client's does not fit its key.
      OSError: If a file cannot be read.
    """
    if settings.ca_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # gRPC would only say that no server can be reached
    authority = Path(settings.ca_certificate).read_bytes()
    load_authority(context, authority, settings.ca_certificate)
    if settings.client_certificate is None or settings.client_key is None:
        return grpc.ssl_channel_credentials(authority)
    certificate, key = Path(settings.client_certificate).read_bytes(), Path(settings.client_key).read_bytes()
    load_pair(context, certificate, key, (settings.client_certificate, settings.client_key))
    return grpc.ssl_channel_credentials(authority, key, certificate)


class CallMetadata:
    """What goes with every call; threads may share it.

    Raises:
      InputError: If the token's file has no token.
      OSError: If it cannot be read.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._path = settings.token_file or ""
        self._file = WatchedFiles("the token", (self._path,), self._take, _tell, looks=1) if self._path else None
        self._looked = time.monotonic()
        self._looking = threading.Lock()

    def now(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call that is made now; a token that has changed to one that cannot be sent stays."""
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


def _tell(level: str, message: str, reason: str | None) -> None:
    number = logging.ERROR if level == "error" else logging.INFO
    logging.getLogger(__name__).log(number, "%s", f"{message}: {reason}" if reason else message)
