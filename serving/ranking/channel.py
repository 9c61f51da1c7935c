"""What both clients' channels have in common."""

from __future__ import annotations

from pathlib import Path

import grpc

from serving.ranking.settings import ClientSettings
from serving.token_file import read_token

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
    """TLS, or None for none; raises OSError if the certificate's file cannot be read."""
    if settings.ca_certificate is None:
        return None
    return grpc.ssl_channel_credentials(Path(settings.ca_certificate).read_bytes())


def call_metadata(settings: ClientSettings) -> tuple[tuple[str, str], ...]:
    """What goes with every call; raises OSError if the token's file cannot be read, InputError if it has no token."""
    if settings.token_file is None:
        return ()
    return (("authorization", f"Bearer {read_token(settings.token_file)}"),)
