"""The token that clients must send, where there is one."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

#: What anybody may ask: whether the server is alive.
_OPEN_SERVICES = ("/grpc.health.v1.Health/",)

HEADER = "authorization"
UNAUTHENTICATED = "a request must have the header `authorization: Bearer TOKEN` with the server's token"


class Token:
    """A token, and whether a request has it."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def matches(self, header: str | bytes | None) -> bool:
        """Whether a request's `authorization` header is right; takes the same time either way."""
        received = header.encode() if isinstance(header, str) else header or b""
        return hmac.compare_digest(received, self._expected)


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses gRPC requests without the token."""

    def __init__(self, token: Token) -> None:
        async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, UNAUTHENTICATED)

        self._token = token
        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Lets a call through, or answers it itself."""
        header = dict(details.invocation_metadata).get(HEADER)
        if details.method.startswith(_OPEN_SERVICES) or self._token.matches(header):
            return await continuation(details)
        return self._refusal
